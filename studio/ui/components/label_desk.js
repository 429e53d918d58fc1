// The labeling form. State: the desk as the server last said it. All text goes in by textContent.
const ask = async (path, body) => {
  const options = body
    ? { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }
    : {};
  const response = await fetch('/api/label/' + path, options);
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.message || 'The studio refused this.'), { told: true });
  return answer;
};
// One request at a time and in order: a draft must never overtake the submit that follows it.
let last = Promise.resolve();
const api = (path, body) => (last = last.catch(() => {}).then(() => ask(path, body)));
const el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? '' : value);
  }
  for (const child of children.flat()) if (child !== null) node.append(child);
  return node;
};
const mac = /Mac|iP(hone|ad)/.test(navigator.platform);
// On a Mac, Option and a letter types a letter: Control goes with it there.
const KEYS = mac
  ? { submit: '⌘ ↵', skip: '⌃⌥ S', flag: '⌃⌥ F', undo: '⌃⌥ Z' }
  : { submit: 'Ctrl ↵', skip: 'Alt S', flag: 'Alt F', undo: 'Alt Z' };
const MARKS = { submit: '✓', skip: '→', flag: '⚑' };

let desk = null, project = '', shown = 0, busy = false, draftTimer = 0, offline = false;
let root = element.querySelector('.desk');

const localKey = (id) => 'sft-draft-' + id;
const field = () => root.querySelector('textarea');
// While an answer is on its way the field takes no keys: they would go to the example that is about to leave.
const hold = (held) => { if (field()) field().readOnly = held; };
const say = (message, kind = '') => {
  const line = root.querySelector('.desk-say');
  if (line) { line.textContent = message; line.className = 'desk-say ' + kind; }
};

const keepDraft = async () => {
  clearTimeout(draftTimer);
  draftTimer = 0;
  if (!desk || !desk.card || !field()) return;
  const { id } = desk.card, text = field().value;
  try {
    await api('draft', { example: id, response: text });
    if (localStorage.getItem(localKey(id)) === text) localStorage.removeItem(localKey(id));
    if (offline) { offline = false; say('Connected again: everything is saved.', 'good'); }
  } catch (error) {
    if (error.told) { say(error.message, 'bad'); return; }
    offline = true;
    say('No connection to the studio: your text is kept in this browser and saved when it is back.', 'bad');
    draftTimer = setTimeout(keepDraft, 2000);
  }
};
const typed = () => {
  if (!desk || !desk.card) return;
  localStorage.setItem(localKey(desk.card.id), field().value);
  clearTimeout(draftTimer);
  draftTimer = setTimeout(keepDraft, 400);
};

const act = async (action) => {
  if (busy || !desk || !desk.card) return;
  const { id, status } = desk.card, response = field().value;
  if (action === 'skip' && status !== 'todo') { load(); return; }  // it was only looked at: its answer stands
  if (action === 'submit' && !response.trim()) { say('Write a response first, or skip this one.', 'bad'); field().focus(); return; }
  busy = true;
  hold(true);
  clearTimeout(draftTimer);
  const seconds = Math.min(86400, (performance.now() - shown) / 1000);
  try {
    const next = await api('act', { example: id, action, response, seconds });
    localStorage.removeItem(localKey(id));
    show(next);
    say({ submit: 'Saved.', skip: 'Skipped.', flag: 'Flagged.' }[action], 'good');
  } catch (error) {
    say(error.told ? error.message : 'Not saved: no connection to the studio. Your text is kept; try again.', 'bad');
  } finally { busy = false; hold(false); }
};
const undo = async () => {
  if (busy || !project) return;
  busy = true;
  hold(true);
  try {
    if (draftTimer) await keepDraft();
    const next = await api('undo', { project });
    show(next);
    say(next.taken_back ? 'Taken back: edit it and submit again.' : 'Nothing left to undo.');
  } catch (error) {
    say(error.told ? error.message : 'No connection to the studio: try again.', 'bad');
  } finally { busy = false; hold(false); }
};
const load = async (example) => {
  if (busy) return;
  if (!project) { desk = null; paint(); return; }
  hold(true);
  try {
    if (draftTimer) await keepDraft();
    show(await api('desk?project=' + encodeURIComponent(project) + (example ? '&example=' + encodeURIComponent(example) : '')));
  } catch (error) {
    say(error.told ? error.message : 'No connection to the studio: reload the page.', 'bad');
  } finally { hold(false); }
};

const show = (next) => {
  const same = desk && desk.card && next.card && desk.card.id === next.card.id;
  const line = root.querySelector('.desk-say');
  const said = same && line ? [line.textContent, line.className.replace('desk-say', '').trim()] : null;
  desk = next;
  paint();
  if (said) say(...said);
  shown = performance.now();
};

const turn = (item) => el('div', { class: 'turn ' + item.role }, el('span', { class: 'who' }, item.role), el('p', {}, item.content));
const button = (name, label, className) => {
  const node = el('button', { type: 'button', class: className, 'aria-label': label, onclick: () => (name === 'undo' ? undo() : act(name)) }, label);
  node.append(el('kbd', { 'aria-hidden': 'true' }, KEYS[name]));
  return node;
};
const progress = () => {
  const { counts, today, median_seconds: pace } = desk;
  const total = counts.todo + counts.labeled + counts.skipped + counts.flagged;
  const done = total - counts.todo;
  const bits = [`${counts.todo} left`, `${counts.labeled} labeled`, `${today} today`];
  if (pace >= 1) bits.push(`${Math.round(pace)} s each`);
  const percent = total ? (100 * done) / total : 0;
  const meter = el('div', { class: 'progress', role: 'progressbar', 'aria-label': 'Progress', 'aria-valuenow': Math.round(percent), 'aria-valuemin': 0, 'aria-valuemax': 100 }, el('div', {}));
  meter.firstChild.style.width = percent + '%';
  return el('div', { class: 'desk-progress' }, meter, el('span', { class: 'quiet' }, bits.join(' · ')));
};
const history = () => el('div', { class: 'desk-history', 'aria-label': 'History' }, desk.history.map((item) =>
  el('button', { type: 'button', title: 'Open and edit', onclick: () => load(item.example) }, `${MARKS[item.action] || ''} ${item.text}`)));

const paint = () => {
  root = element.querySelector('.desk') || element.appendChild(el('div', { class: 'desk' }));
  root.dataset.project = project;
  const line = () => el('p', { class: 'desk-say', role: 'status', 'aria-live': 'polite' });
  if (!desk) {
    root.replaceChildren(el('div', { class: 'empty' }, el('strong', {}, 'No project chosen'), el('p', {}, 'Choose a project above, or create one in the Projects tab.')), line());
    return;
  }
  const { card, counts } = desk;
  if (!card) {
    const total = counts.labeled + counts.skipped + counts.flagged;
    const words = total
      ? ['All done here', `${counts.labeled} labeled, ${counts.skipped} skipped, ${counts.flagged} flagged. Import more in the Data tab, or freeze a snapshot in Datasets.`]
      : ['Nothing to label yet', 'Import a file in the Data tab: rows without an answer come here.'];
    root.replaceChildren(progress(), el('div', { class: 'empty' }, el('strong', {}, words[0]), el('p', {}, words[1]),
      total ? el('div', { class: 'desk-buttons center' }, button('undo', 'Undo', 'plain')) : null), line(), history());
    return;
  }
  const area = el('textarea', { id: 'response-field', rows: 9, oninput: typed, spellcheck: 'true', 'aria-keyshortcuts': 'Control+Enter' });
  area.value = localStorage.getItem(localKey(card.id)) ?? card.draft;
  const left = el('section', { class: 'desk-side', 'aria-label': 'Example' }, card.turns.map(turn),
    card.context ? el('div', { class: 'turn context' }, el('span', { class: 'who' }, 'context'), el('p', {}, card.context)) : null);
  const right = el('section', { class: 'desk-side' }, el('label', { for: 'response-field' }, 'Response'), area,
    el('div', { class: 'desk-buttons' }, button('submit', 'Submit', 'first'), button('skip', card.status === 'todo' ? 'Skip' : 'Back to the queue', 'plain'), button('flag', 'Flag', 'plain'), button('undo', 'Undo', 'plain')), line());
  root.replaceChildren(progress(), el('div', { class: 'desk-columns' }, left, right), history());
  area.focus({ preventScroll: true });
};

// Listens on the document, so that the keys act wherever the focus is; only while the form is on screen.
const onKey = (event) => {
  if (!element.isConnected) { document.removeEventListener('keydown', onKey); return; }
  if (element.offsetParent === null || event.isComposing || event.repeat) return;
  const typing = ['INPUT', 'TEXTAREA', 'SELECT'].includes(document.activeElement?.tagName) && !element.contains(document.activeElement);
  if (typing) return;
  const name = (event.ctrlKey || event.metaKey) && event.key === 'Enter' ? 'submit'
    : event.altKey && event.ctrlKey === mac && !event.metaKey ? { KeyS: 'skip', KeyF: 'flag', KeyZ: 'undo' }[event.code] : null;
  if (!name) return;
  event.preventDefault();
  if (name === 'undo') undo(); else act(name);
};
document.addEventListener('keydown', onKey);
window.addEventListener('pagehide', () => {
  if (draftTimer && desk && desk.card) {
    navigator.sendBeacon('/api/label/draft', new Blob([JSON.stringify({ example: desk.card.id, response: field().value })], { type: 'application/json' }));
  }
});
const follow = () => {
  const [chosen, example] = (props.value || '').split('#');
  project = chosen;
  load(example);
};
watch('value', follow);
follow();
