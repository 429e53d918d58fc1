// Around the card: progress, tools, history, and what is said where there is no card.

const MARKS = { submit: '✓', skip: '→', flag: '⚑' };
const ORDERS = { imported: '', random: 'in random order', priority: 'by priority', uncertain: 'most uncertain first', diverse: 'most diverse first' };

const meter = el('div', { class: 'progress', role: 'progressbar', 'aria-label': 'Progress', 'aria-valuemin': 0, 'aria-valuemax': 100 }, el('div', {}));
const progressWords = el('span', { class: 'quiet' });
const progress = el('div', { class: 'desk-progress' }, meter, progressWords);
const viewButtons = ['focus', 'bulk'].map((name) => button(name === 'focus' ? 'Focus' : 'Bulk', () => setView(name), { 'aria-pressed': 'false', title: name === 'focus' ? 'One example at a time' : 'Many examples, one action' }));
const guideButton = button('Guidelines', () => toggleGuidelines(), { class: 'tool guide', 'aria-controls': 'guidelines', 'aria-expanded': 'true', 'data-shortcut': 'guidelines' });
const tools = el('div', { class: 'desk-tools' },
  el('div', { class: 'switch', role: 'group', 'aria-label': 'View' }, viewButtons), guideButton,
  el('button', { type: 'button', class: 'tool', 'aria-label': 'Keys', 'data-shortcut': 'help', onclick: () => showHelp() }, 'Keys', kbd('help')));
const topRow = el('div', { class: 'desk-top' }, progress, tools);
const historyStrip = el('div', { class: 'desk-history', role: 'group', 'aria-label': 'History' });

const paintTop = () => {
  const { counts, today, median_seconds: pace, leases } = desk;
  const total = counts.todo + counts.labeled + counts.skipped + counts.flagged;
  const mine = counts.mine ?? counts.todo;
  const bits = [`${mine.toLocaleString('en')} left`, `${counts.labeled.toLocaleString('en')} labeled`, `${today} today`];
  if (pace >= 1) bits.push(`${Math.round(pace)} s each`);
  if (leases?.others) bits.push(`${leases.others === 1 ? "1 other" : leases.others + " others"} labeling now`);
  if (ORDERS[task?.order]) bits.push(ORDERS[task.order]);
  set(progressWords, bits.join(' · '));
  const percent = total ? (100 * (total - counts.todo)) / total : 0;
  const shown = String(Math.round(percent));
  if (meter.getAttribute('aria-valuenow') !== shown) meter.setAttribute('aria-valuenow', shown);
  meter.firstChild.style.transform = `scaleX(${percent / 100})`;
  viewButtons[0].setAttribute('aria-pressed', String(view === 'focus'));
  viewButtons[1].setAttribute('aria-pressed', String(view === 'bulk'));
};

// The usual case is one act more than before: one button in front, one fewer behind.
let listed = [];
const paintHistory = () => {
  const names = desk.history.map((item) => [item.example, item.action, item.at, item.text].join('|'));
  if (names.length === listed.length && names.every((name, index) => name === listed[index])) return;
  const item = (done) => button(`${MARKS[done.action] || ''} ${short(done.text, 48)}`, () => load({ wanted: done.example }), { title: done.response ? `${done.response.slice(0, 300)}\n(open and edit)` : 'Open and edit', 'data-action': done.action });
  if (names.length && names.slice(1).every((name, index) => name === listed[index])) {
    historyStrip.prepend(item(desk.history[0]));
    while (historyStrip.children.length > names.length) historyStrip.lastChild.remove();
  } else historyStrip.replaceChildren(...desk.history.map(item));
  listed = names;
};

const clearHistory = () => {
  listed = [];
  historyStrip.replaceChildren();
};

const toggleGuidelines = () => {
  const hidden = document.documentElement.dataset.guidelines === 'hidden';
  document.documentElement.dataset.guidelines = hidden ? 'shown' : 'hidden';
  store.set('sft-guidelines', hidden ? 'shown' : 'hidden');
  guideButton.setAttribute('aria-expanded', String(hidden));
  if (hidden) document.getElementById('guidelines')?.scrollIntoView({ block: 'nearest' });
};
const startGuidelines = () => {
  const narrow = matchMedia('(max-width: 760px)').matches;
  const state = store.get('sft-guidelines') || (narrow ? 'hidden' : 'shown');
  document.documentElement.dataset.guidelines = state;
  guideButton.setAttribute('aria-expanded', String(state === 'shown'));
};

// Why there is no card, and what to do about it: [title, sentence, whether looking again can help].
const emptyWords = () => {
  if (!project) return ['No project chosen', 'Choose a project above, or create one in the Projects tab.', false];
  const { counts } = desk;
  const done = counts.labeled + counts.skipped + counts.flagged;
  if (!done && !counts.todo) return ['Nothing to label yet', 'Import a file in the Data tab: rows without an answer come here.', false];
  if (!counts.todo) return ['All done here', `${counts.labeled} labeled, ${counts.skipped} skipped, ${counts.flagged} flagged. Import more in the Data tab, or freeze a snapshot in Datasets.`, false];
  if ((counts.mine ?? counts.todo) > 0) return ['Everything left is held by others', `${plural(counts.mine ?? counts.todo, 'example')} left, each open on somebody’s desk. One comes here as soon as it is free; you can leave this open.`, true];
  return ['You have answered all you can', `${plural(counts.todo, 'example')} wait${counts.todo === 1 ? 's' : ''} for other annotators: each one is answered by ${task?.overlap > 1 ? task.overlap + ' people' : 'somebody else'}.`, true];
};
const emptyState = () => {
  if (project && !desk) return el('p', { class: 'quiet' }, 'Opening the queue…');
  const [title, words, again] = emptyWords();
  const buttons = el('div', { class: 'desk-buttons center' },
    again ? button('Look again', () => load({ back: true }), { class: 'first' }) : null,
    desk?.undoable || desk?.history?.length ? actButton('undo', 'Undo') : null);
  return el('div', { class: 'empty' }, el('strong', {}, title), words ? el('p', {}, words) : null, buttons.children.length ? buttons : null);
};
