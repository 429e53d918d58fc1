// Many examples at once: choose some, and one action does all of them; label tasks have a quick answer on each row.

const SIZES = [10, 25, 50], ASK_ABOVE = 10;
let bulk = { cards: [], chosen: new Set(), similar: null, state: 'empty', problems: new Map() };
let bulkParts = null;
const resetBulk = () => { bulk = { cards: [], chosen: new Set(), similar: null, state: 'empty', problems: new Map() }; view = 'focus'; bulkParts = null; };
const bulkSize = () => { const kept = Number(store.get('sft-bulk')); return SIZES.includes(kept) ? kept : 10; };

const setView = async (name) => {
  if (name === view || busy || !desk) return;
  flushDraft();
  view = name;
  say('');
  if (name === 'bulk') { bulk.similar = null; paint(); loadBulk(); return; }
  await write('leave', { project }).catch(() => {});
  touched = sent = 0;
  load({ back: true });
};
const findSimilar = (card) => {
  if (busy) return;
  flushDraft();
  view = 'bulk';
  bulk.similar = { id: card.id, text: card.turns.at(-1)?.content || card.context };
  paint();
  loadBulk();
};

const loadBulk = async () => {
  const at = project, { similar } = bulk;
  bulk.state = 'loading';
  paintBulk();
  try {
    const { cards } = await look(`bulk?project=${encodeURIComponent(at)}&size=${bulkSize()}` + (similar ? '&similar=' + encodeURIComponent(similar.id) : ''));
    if (at !== project || similar !== bulk.similar) return;
    bulk = { ...bulk, cards, chosen: new Set(), state: 'shown' };
    connected();
  } catch (error) {
    bulk = { ...bulk, cards: [], chosen: new Set(), state: 'shown' };
    say(error.told ? error.message : tr('No connection to the studio: try again.'), 'bad');
  }
  paintBulk();
};

// The answers that one click can give in this task: [{words, colour, answer}].
const quickAnswers = () => {
  const plain = (words, colour) => ({ words, colour, answer: { response: words, value: '' } });
  if (task.kind === 'classification' || task.kind === 'multi-label') return task.labels.map((label) => plain(label.name, colour(label)));
  if (task.kind === 'rating') return Array.from({ length: task.rating_max }, (_, index) => plain(String(index + 1)));
  if (task.kind === 'preference') return CHOICES.map((choice) => ({ words: choiceWords(choice), answer: { response: choice, value: JSON.stringify({ choice, margin: null, reason: '' }) } }));
  return [];
};

const bulkNode = () => {
  if (bulkParts) return bulkParts.node;
  const quick = quickAnswers();
  const all = el('input', { type: 'checkbox', id: 'bulk-all', onchange: () => { bulk.chosen = new Set(all.checked ? bulk.cards.map(({ id }) => id) : []); paintChosen(); } });
  const count = el('span', { class: 'quiet', role: 'status' });
  const menu = quick.length ? el('select', { id: 'bulk-label', 'aria-label': tr('Answer for the selected') }, quick.map(({ words }, index) => el('option', { value: index }, words))) : null;
  const give = menu ? button(tr('Give to selected'), () => bulkChoose(Number(menu.value)), { class: 'first' }) : null;
  const acting = [give, el('button', { type: 'button', 'aria-label': tr('Accept suggestions'), onclick: () => bulkAct('accept') }, tr('Accept suggestions'), kbd('accept')),
    el('button', { type: 'button', 'aria-label': tr('Skip'), onclick: () => bulkAct('skip') }, tr('Skip'), kbd('skip')),
    el('button', { type: 'button', 'aria-label': tr('Flag'), onclick: () => bulkAct('flag') }, tr('Flag'), kbd('flag'))].filter(Boolean);
  const sizes = el('select', { id: 'bulk-size', onchange: (event) => { store.set('sft-bulk', event.target.value); loadBulk(); } }, SIZES.map((size) => el('option', { value: size, selected: size === bulkSize() }, String(size))));
  const similar = el('div', { class: 'desk-similar', hidden: true }, el('span', {}), button(tr('Show the queue instead'), () => { bulk.similar = null; loadBulk(); }, { class: 'link-button' }));
  const rows = el('ul', { class: 'bulk-rows', 'aria-label': tr('Examples') });
  const head = el('div', { class: 'bulk-bar', role: 'group', 'aria-label': tr('Action for the selected') },
    el('label', { class: 'bulk-all', for: 'bulk-all' }, all, tr('Select all')), count, el('span', { class: 'grow' }),
    el('div', { class: 'desk-buttons' }, menu, acting));
  const foot = el('div', { class: 'bulk-foot' }, el('label', { for: 'bulk-size' }, tr('Examples at once')), sizes, el('span', { class: 'grow' }), actButton('undo', tr('Undo')));
  foot.lastChild.classList.add('small');
  const node = el('div', { class: 'desk-bulk' }, similar, head, el('div', { class: 'desk-line' }), rows, foot);
  bulkParts = { node, rows, all, count, acting, similar, boxes: new Map() };
  paintBulk();
  return node;
};

const paintBulk = () => {
  if (!bulkParts) return;
  const { rows, similar, boxes } = bulkParts;
  similar.hidden = !bulk.similar;
  if (bulk.similar) set(similar.firstChild, tr('Most similar to “{text}”', { text: short(bulk.similar.text, 100) }));
  boxes.clear();
  const nothing = bulk.state === 'loading' ? tr('Opening…') : bulk.similar ? tr('Nothing that waits for an answer is similar to it.') : emptyWords().slice(0, 2).join(': ');
  rows.replaceChildren(...(bulk.cards.length ? bulk.cards.map(bulkRow) : [el('li', { class: 'empty' }, nothing)]));
  rows.setAttribute('aria-busy', String(bulk.state === 'loading'));
  paintChosen();
};
const paintChosen = () => {
  const { all, count, acting, boxes } = bulkParts;
  const chosen = bulk.chosen.size;
  for (const [id, box] of boxes) { box.checked = bulk.chosen.has(id); box.closest('li').classList.toggle('chosen', box.checked); }
  all.checked = chosen > 0 && chosen === bulk.cards.length;
  all.indeterminate = chosen > 0 && !all.checked;
  set(count, chosen ? tr('{count} selected', { count: chosen }) : tr('{count} shown', { count: bulk.cards.length }));
  for (const node of acting) node.disabled = !chosen;
};

const bulkRow = (card) => {
  const words = card.turns.at(-1)?.content || card.context || '';
  const box = el('input', { type: 'checkbox', 'aria-label': tr('Select: {text}', { text: short(words, 80) }), onchange: () => { if (box.checked) bulk.chosen.add(card.id); else bulk.chosen.delete(card.id); paintChosen(); } });
  box.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.altKey || event.ctrlKey) return;
    event.preventDefault();
    const all = [...bulkParts.boxes.values()];
    all[all.indexOf(box) + step]?.focus();
  });
  bulkParts.boxes.set(card.id, box);
  const given = card.suggestion, problem = bulk.problems.get(card.id);
  return el('li', { class: 'bulk-row', 'data-example': card.id }, box,
    el('div', { class: 'bulk-text' },
      el('p', { dir: 'auto', onclick: () => box.click() }, short(words, 600)),
      card.context && card.turns.length ? el('p', { class: 'quiet', dir: 'auto' }, short(card.context, 240)) : null,
      task.kind === 'preference' ? el('p', { class: 'quiet', dir: 'auto' }, `A: ${short(card.payload?.a || '', 160)}`, el('br'), `B: ${short(card.payload?.b || '', 160)}`) : null,
      given ? el('p', { class: 'bulk-draft' }, el('span', { class: 'spark', 'aria-hidden': 'true' }, '✦ '), el('span', { dir: 'auto' }, short(given.response.split('\n').map(task.kind === 'preference' ? choiceWords : String).join(', '), 400)), el('span', { class: 'quiet' }, ` ${sourceWords(given.source)}`)) : null,
      problem ? el('p', { class: 'bulk-problem' }, problem) : null),
    el('div', { class: 'bulk-quick' }, quickControl(card), button(tr('Open'), () => { view = 'focus'; load({ wanted: card.id }); }, { class: 'small', 'aria-label': tr('Open: {text}', { text: short(words, 60) }) })));
};
const quickControl = (card) => {
  const quick = quickAnswers();
  if (!quick.length || task.kind === 'multi-label' || task.ask_reason) return null;
  const give = (index) => sendBulk('submit', [actOf(card, quick[index].answer)]);
  if (quick.length > LONG) {
    return el('select', { 'aria-label': tr('Answer'), onchange: (event) => give(Number(event.target.value)) },
      el('option', { value: '' }, tr('Label…')), quick.map(({ words }, index) => el('option', { value: index }, words)));
  }
  return el('div', { class: 'bulk-chips', role: 'group', 'aria-label': tr('Answer') }, quick.map(({ words, colour: tint, answer }, index) => {
    const node = button(words, () => give(index), { class: 'small' + (card.suggestion?.response === answer.response ? ' suggested' : '') });
    if (tint) { node.prepend(el('i', { class: 'swatch' })); node.style.setProperty('--label', tint); }
    return node;
  }));
};

const actOf = (card, answer) => ({ example: card.id, ...normal(answer), base: card.revision ?? null, suggestion: card.suggestion?.id ?? null });
const chosenCards = () => bulk.cards.filter(({ id }) => bulk.chosen.has(id));
const bulkChoose = (index) => {
  const { words, answer } = quickAnswers()[task.kind === 'preference' ? Math.min(index, 2) : index] || {}, chosen = chosenCards();
  if (answer) agree(tr('Give “{answer}” to {count} examples?', { answer: words, count: chosen.length }), chosen, (cards) => sendBulk('submit', cards.map((card) => actOf(card, answer))));
};
const bulkAct = (action) => {
  const cards = chosenCards();
  const count = cards.length;
  if (!count) { say(tr('Select some examples first.'), 'bad'); return; }
  if (action !== 'accept') { agree(action === 'skip' ? tr('Skip {count} examples?', { count }) : tr('Flag {count} examples?', { count }), cards, (all) => sendBulk(action, all.map((card) => actOf(card, NOTHING)))); return; }
  const with_ = cards.filter(({ suggestion }) => suggestion);
  if (!with_.length) { say(tr('None of the selected has a suggestion.'), 'bad'); return; }
  agree(tr('Accept the suggestion of {count} examples?', { count: with_.length }), with_, (all) => sendBulk('submit', all.map((card) => actOf(card, card.suggestion))));
};
// More than ten at once is asked first, with the number.
const agree = (question, cards, then) => {
  if (busy) return;
  if (!cards.length) { say(tr('Select some examples first.'), 'bad'); return; }
  if (cards.length <= ASK_ABOVE) { then(cards); return; }
  const box = dialog(question, el('p', {}, tr('Each can be taken back afterwards, one at a time.')),
    el('div', { class: 'desk-buttons' }, button(tr('Yes, all {count}', { count: cards.length }), () => { box.close(); then(cards); }, { class: 'first' }), button(tr('Cancel'), () => box.close())));
};

const sendBulk = async (action, acts) => {
  if (busy) return;
  busy = true;
  say(trn('Saving {count} answer…', 'Saving {count} answers…', acts.length));
  try {
    const { done, failed, desk: next } = await write('bulk', { project, action, acts });
    for (const id of done) forget(id);
    bulk.problems = new Map(failed.map(({ example: id, message }) => [id, message]));
    desk = { ...desk, ...next };
    paintTop();
    paintHistory();
    paintFrameState();
    const count = done.length, success = { submit: tr('{count} saved.', { count }), skip: tr('{count} skipped.', { count }), flag: tr('{count} flagged.', { count }) }[action];
    const messages = [...new Set(failed.map(({ message }) => message))];
    const rest = bulk.cards.filter(({ id }) => !done.includes(id));
    const sentence = failed.length ? tr('{done} {count} not: {why}', { done: success, count: failed.length, why: messages.join(' ') }) : success;
    busy = false;
    if (failed.length || (acts.length === 1 && rest.length)) { bulk = { ...bulk, cards: rest, chosen: new Set([...bulk.chosen].filter((id) => !done.includes(id))) }; paintBulk(); } else await loadBulk();
    say(sentence, failed.length ? 'bad' : 'good');
  } catch (error) {
    say(error.told ? error.message : tr('Not saved: no connection to the studio. The selection is kept; try again.'), 'bad');
  } finally { busy = false; }
};
