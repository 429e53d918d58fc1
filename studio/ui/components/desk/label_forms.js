// Choices: one label (its key submits), several labels (toggles), a rating. More than ten labels get a search field.

const LONG = 10;

// A group of buttons with role radio or checkbox. Arrow keys move the focus; choosing is a key, a click, Enter or Space.
const choices = ({ id, many = false, items, onchoose }) => {
  const group = el('div', { class: 'desk-choices', role: many ? 'group' : 'radiogroup', 'aria-labelledby': id });
  const nodes = items.map((item, index) => el('button', {
    type: 'button', class: 'choice', role: many ? 'checkbox' : 'radio', 'aria-checked': 'false', tabindex: index ? -1 : 0,
    'data-shortcut': index < 10 ? 'choose' + (index + 1) : null, 'aria-keyshortcuts': index < 10 ? ariaKey('choose' + (index + 1)) : null,
    onclick: () => onchoose(index),
  }, item.colour ? el('i', { class: 'swatch' }) : null, el('span', { class: 'words', dir: 'auto' }, item.words), item.note ? el('small', {}, item.note) : null, index < 10 ? kbd('choose' + (index + 1)) : null));
  nodes.forEach((node, index) => { if (items[index].colour) node.style.setProperty('--label', items[index].colour); });
  group.append(...nodes);
  const reach = (node) => { for (const other of nodes) other.tabIndex = other === node ? 0 : -1; };
  group.addEventListener('focusin', (event) => { const node = event.target.closest('.choice'); if (node) reach(node); });
  group.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const ends = { Home: 0, End: -1 }[event.key];
    if (step === undefined && ends === undefined) return;
    const seen = nodes.filter((node) => !node.hidden);
    const at = seen.indexOf(document.activeElement);
    const next = ends === undefined ? seen[(at + step + seen.length) % seen.length] : seen.at(ends);
    if (next) { event.preventDefault(); next.focus(); }
  });
  const mark = (chosen) => nodes.forEach((node, index) => {
    const on = String(chosen.has(index));
    if (node.getAttribute('aria-checked') !== on) node.setAttribute('aria-checked', on);
  });
  const suggest = (index) => nodes.forEach((node, at) => node.classList.toggle('suggested', at === index || (index instanceof Set && index.has(at))));
  const focus = () => (nodes.find((node) => node.getAttribute('aria-checked') === 'true' && !node.hidden) || nodes.find((node) => !node.hidden))?.focus({ preventScroll: true });
  return { group, nodes, mark, suggest, focus };
};

// The search field over a long list: type, arrows choose among what is left, Enter takes it.
const finder = (items, nodes, onchoose) => {
  const total = trn('{count} label', '{count} labels', items.length);
  const status = el('span', { class: 'quiet', role: 'status', 'aria-live': 'polite' }, total);
  const input = el('input', { type: 'search', id: 'label-search', autocomplete: 'off', spellcheck: 'false', 'aria-describedby': 'label-search-hint' });
  const words = items.map((item) => item.words.toLowerCase().replace(/[_\-/]+/g, ' '));
  let seen = items.map((_, index) => index), at = -1;
  const show = () => {
    nodes.forEach((node, index) => node.classList.toggle('active', index === seen[at]));
    if (at >= 0) nodes[seen[at]].scrollIntoView({ block: 'nearest' });
    set(status, at < 0 ? (input.value ? tr('No label has these letters.') : total) : tr('Enter: {label} ({number} of {count})', { label: items[seen[at]].words, number: String(at + 1), count: String(seen.length) }));
  };
  const filter = () => {
    const wanted = input.value.toLowerCase().replace(/[_\-/]+/g, ' ').split(' ').filter(Boolean);
    seen = words.flatMap((name, index) => (wanted.every((part) => name.includes(part)) ? [index] : []));
    const left = new Set(seen);
    nodes.forEach((node, index) => { node.hidden = !left.has(index); });
    const first = seen.findIndex((index) => words[index].startsWith(wanted.join(' ')));
    at = wanted.length && seen.length ? Math.max(0, first) : -1;
    show();
  };
  const clear = () => { if (input.value || at >= 0) { input.value = ''; filter(); } };
  input.addEventListener('input', filter);
  input.addEventListener('keydown', (event) => {
    if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && seen.length) { event.preventDefault(); at = (at + step + seen.length) % seen.length; show(); }
    if (event.key === 'Enter' && at >= 0) { event.preventDefault(); const chosen = seen[at]; clear(); onchoose(chosen); }
    if (event.key === 'Escape' && input.value) { event.preventDefault(); event.stopPropagation(); clear(); }
  });
  const node = el('div', { class: 'desk-find' }, el('label', { for: 'label-search' }, tr('Find a label')), input, el('span', { id: 'label-search-hint' }, status));
  return { node, input, clear };
};

const labelForm = (many) => {
  const items = task.labels.map((label) => ({ words: label.name, colour: colour(label) }));
  const places = new Map(items.map((item, index) => [item.words, index]));
  let chosen = new Set(), unknown = [], held = false;
  const count = el('span', { class: 'chip', hidden: true });
  const placesOf = (response) => new Set(response.split('\n').filter((name) => places.has(name)).map((name) => places.get(name)));
  const show = () => {
    list.mark(chosen);
    if (many) { count.hidden = !chosen.size; set(count, tr('{count} chosen', { count: String(chosen.size) })); }
  };
  const choose = (index) => {
    if (held || index >= items.length) return;
    if (many) { if (chosen.has(index)) chosen.delete(index); else chosen.add(index); } else chosen = new Set([index]);
    unknown = [];
    show();
    if (many) typed(); else act('submit');
  };
  const list = choices({ id: 'choices-label', many, items, onchoose: choose });
  const search = items.length > LONG ? finder(items, list.nodes, choose) : null;
  list.group.classList.toggle('long', items.length > LONG);
  return {
    node: el('div', {}, heading(el('span', { class: 'label', id: 'choices-label' }, many ? tr('Labels') : tr('Label')), ''), many ? count : null, search?.node, list.group,
      items.length ? null : el('p', { class: 'quiet' }, tr('This project has no labels yet: add them in the Projects tab.'))),
    layout: 'split', choose,
    write: ({ response }) => { chosen = placesOf(response); unknown = response.split('\n').filter((name) => name && !places.has(name)); search?.clear(); show(); },
    read: () => ({ response: [...[...chosen].sort((a, b) => a - b).map((index) => items[index].words), ...unknown].join('\n'), value: '' }),
    problem: ({ response }) => {
      if (response) return '';
      if (many) return canSkip ? tr('Choose at least one label first, or skip this one.') : tr('Choose at least one label first.');
      return canSkip ? tr('Choose a label first, or skip this one.') : tr('Choose a label first.');
    },
    suggest: (response) => list.suggest(response === null ? null : placesOf(response)),
    focus: list.focus,
    hold: (now) => { held = now; },
    // A letter typed anywhere on the desk begins the search.
    inUse: () => Boolean(search?.input.value),
    find: search ? () => search.input.focus({ preventScroll: true }) : null,
  };
};

const ratingForm = () => {
  const items = Array.from({ length: task.rating_max }, (_, index) => ({ words: String(index + 1), note: index === 0 ? tr('worst') : index === task.rating_max - 1 ? tr('best') : '' }));
  let chosen = -1, held = false;
  const choose = (index) => {
    if (held || index >= items.length) return;
    chosen = index;
    list.mark(new Set([index]));
    act('submit');
  };
  const list = choices({ id: 'choices-label', items, onchoose: choose });
  list.group.classList.add('rating');
  return {
    node: el('div', {}, heading(el('span', { class: 'label', id: 'choices-label' }, tr('Rating')), tr('1 to {most}', { most: task.rating_max })), list.group),
    layout: 'split', choose,
    write: ({ response }) => { chosen = items.findIndex((item) => item.words === response); list.mark(new Set([chosen])); },
    read: () => ({ response: chosen < 0 ? '' : items[chosen].words, value: '' }),
    problem: ({ response }) => (response ? '' : canSkip ? tr('Choose a rating first, or skip this one.') : tr('Choose a rating first.')),
    suggest: (response) => list.suggest(response === null ? null : items.findIndex((item) => item.words === response)),
    focus: list.focus,
    hold: (now) => { held = now; },
  };
};
