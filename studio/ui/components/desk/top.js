// Around the card: progress, tools, history, and what is said where there is no card.

const MARKS = { submit: '✓', skip: '→', flag: '⚑' };
const ORDERS = { imported: '', random: tr('in random order'), priority: tr('by priority'), uncertain: tr('most uncertain first'), diverse: tr('most diverse first') };

const meter = el('div', { class: 'progress', role: 'progressbar', 'aria-label': tr('Progress'), 'aria-valuemin': 0, 'aria-valuemax': 100 }, el('div', {}));
const progressWords = el('span', { class: 'quiet' });
const progress = el('div', { class: 'desk-progress' }, meter, progressWords);
const viewButtons = ['focus', 'bulk'].map((name) => button(name === 'focus' ? tr('Focus') : tr('Bulk'), () => setView(name), { 'aria-pressed': 'false', title: name === 'focus' ? tr('One example at a time') : tr('Many examples, one action') }));
const guideButton = button(tr('Guidelines'), () => toggleGuidelines(), { class: 'tool guide', 'aria-controls': 'guidelines', 'aria-expanded': 'true', 'data-shortcut': 'guidelines' });
const tools = el('div', { class: 'desk-tools' },
  el('div', { class: 'switch', role: 'group', 'aria-label': tr('View') }, viewButtons), guideButton,
  el('button', { type: 'button', class: 'tool', 'aria-label': tr('Keys'), 'data-shortcut': 'help', onclick: () => showHelp() }, tr('Keys'), kbd('help')));
const topRow = el('div', { class: 'desk-top' }, progress, tools);
const historyStrip = el('div', { class: 'desk-history', role: 'group', 'aria-label': tr('History') });

const paintTop = () => {
  const { counts, today, median_seconds: pace, leases } = desk;
  const total = counts.todo + counts.labeled + counts.skipped + counts.flagged;
  const mine = counts.mine ?? counts.todo;
  const bits = [tr('{count} left', { count: mine }), tr('{count} labeled', { count: counts.labeled }), tr('{count} today', { count: String(today) })];
  if (pace >= 1) bits.push(tr('{seconds} s each', { seconds: String(Math.round(pace)) }));
  if (leases?.others) bits.push(trn('{count} other labeling now', '{count} others labeling now', leases.others));
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
  const item = (done) => button(`${MARKS[done.action] || ''} ${short(done.text, 48)}`, () => load({ wanted: done.example }), { title: done.response ? `${done.response.slice(0, 300)}\n${tr('(open and edit)')}` : tr('Open and edit'), 'data-action': done.action });
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
  if (!project) return [tr('No project chosen'), tr('Choose a project above, or create one in the Projects tab.'), false];
  const { counts } = desk;
  const done = counts.labeled + counts.skipped + counts.flagged;
  if (!done && !counts.todo) return [tr('Nothing to label yet'), tr('Import a file in the Data tab: rows without an answer come here.'), false];
  const [labeled, skipped, flagged] = [counts.labeled, counts.skipped, counts.flagged].map(String);
  if (!counts.todo) return [tr('All done here'), tr('{labeled} labeled, {skipped} skipped, {flagged} flagged. Import more in the Data tab, or freeze a snapshot in Datasets.', { labeled, skipped, flagged }), false];
  const mine = counts.mine ?? counts.todo;
  if (mine > 0) return [tr('Everything left is held by others'), trn('{count} example left, each open on somebody’s desk. One comes here as soon as it is free; you can leave this open.', '{count} examples left, each open on somebody’s desk. One comes here as soon as it is free; you can leave this open.', mine), true];
  const words = task?.overlap > 1
    ? trn('{count} example waits for other annotators: each one is answered by {people} people.', '{count} examples wait for other annotators: each one is answered by {people} people.', counts.todo, { people: task.overlap })
    : trn('{count} example waits for other annotators: each one is answered by somebody else.', '{count} examples wait for other annotators: each one is answered by somebody else.', counts.todo);
  return [tr('You have answered all you can'), words, true];
};
const emptyState = () => {
  if (project && !desk) return el('p', { class: 'quiet' }, tr('Opening the queue…'));
  const [title, words, again] = emptyWords();
  const buttons = el('div', { class: 'desk-buttons center' },
    again ? button(tr('Look again'), () => load({ back: true }), { class: 'first' }) : null,
    desk?.undoable || desk?.history?.length ? actButton('undo', tr('Undo')) : null);
  return el('div', { class: 'empty' }, el('strong', {}, title), words ? el('p', {}, words) : null, buttons.children.length ? buttons : null);
};
