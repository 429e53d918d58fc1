// What a reviewer does: accept, edit, send back, choose, take back, accept many; and the keys that do it.

let item = null, following = null;     // the example in hand and the next one
let chosen = 0, mode = 'look';         // which answer a decision is about; 'look', 'edit' or 'return'
let scope = { kind: 'all', annotator: '' }, waiting = null, bulk = [], clash = null, overviewTimer = 0, loads = 0, loaded = 0;

const typed = () => {};
const canSkip = false;
// Forms with one choice submit by themselves: here that saves the edit.
const act = () => save();

const WORDS = { all: tr('All'), pending: tr('To accept'), flagged: tr('Flagged'), differing: tr('Differing') };
const REVIEW_KEYS = [
  ['A', tr('Accept the answer (a flagged one: put it aside)')], ['E', tr('Edit it')], ['R', tr('Send it back with a comment')],
  ['1 … 9', tr('Choose one of several answers')], ['N', tr('Next, without a decision')], ['G', tr('Mark as gold, or not any more')],
  ['Ctrl Enter', tr('Save the edit or the comment')], ['Esc', tr('Leave the edit or the comment')], ['Alt Z', tr('Take back my last decision')], ['?', tr('Show the keys')],
];

const about = () => item?.answers[chosen] || null;
const query = (after = 0, id = '') => new URLSearchParams({ project, ...scope, after, ...(id ? { example: id } : {}) });

const load = async (after = 0, id = '') => {
  if (!project) { item = null; desk = null; paint(); return; }
  const turn = ++loads;
  try {
    const found = await askReview('desk?' + query(after, id));
    if (turn !== loads) return;   // a newer load, or a decision, has shown something else meanwhile
    if (found.task) { task = found.task; user = found.user; }
    show(found);
    refreshOverview();
  } catch (error) { if (turn === loads) say(error.message, 'bad'); } finally { loaded = Math.max(loaded, turn); }
};
// What is shown now is the newest there is: a load that is still on its way has come too late.
const settle = () => { loads += 1; loaded = loads; };
const show = (found) => {
  settle();
  desk = found;
  item = found.item;
  following = found.next;
  chosen = 0;
  mode = 'look';
  clash = null;
  paint();
};
const refreshOverview = () => {
  clearTimeout(overviewTimer);
  overviewTimer = setTimeout(async () => {
    const at = project;
    try {
      const found = await askReview('overview?' + new URLSearchParams({ project }));
      if (at !== project) return;
      waiting = found.waiting;
      bulk = found.bulk;
      paintTop();
    } catch { /* the counts stay as they were */ }
  }, 200);
};

const decidedWords = (decision, answer) => {
  if (decision === 'edit') return tr('Your version stands.');
  if (decision === 'accept') return answer.action === 'submit' ? tr('Accepted.') : tr('Put aside.');
  return answer.source === 'import' ? tr('Sent back to the queue.') : tr('Sent back to {name}.', { name: answer.by });
};
const decide = async (decision, extra = {}) => {
  const answer = about();
  if (busy || !answer) return;
  busy = true;
  form?.hold(true);
  const seen = item, held = mode;
  try {
    const found = await askReview('decide', { example: item.id, annotation: answer.id, decision, stamp: item.stamp, ...scope, ...extra });
    say(decidedWords(decision, answer), 'good');
    show(found);
    refreshOverview();
  } catch (error) {
    say(error.message, 'bad');
    if (error.item) newer(seen, answer, error, held);
  } finally { busy = false; form?.hold(false); }
};
// The example changed since it was shown: it is shown as it is now, with what was seen; a text being written stays.
const newer = (seen, answer, error, held) => {
  const at = error.item.answers.findIndex((one) => one.by === answer.by);
  settle();
  item = error.item;
  chosen = Math.max(0, at);
  clash = { message: error.message, before: textOf(answer), now: at < 0 ? '' : textOf(item.answers[at]) };
  mode = held;
  paint({ keepForm: held !== 'look' });
};

const save = () => {
  if (mode === 'return') {
    const comment = commentField.value;
    if (!comment.trim()) { say(tr('Write what should be different: the annotator sees it with the example.'), 'bad'); commentField.focus(); return; }
    decide('return', { comment });
  } else if (mode === 'edit') {
    const answer = form.read(), problem = form.problem(answer);
    if (problem) { say(problem, 'bad'); form.focus(); return; }
    decide('edit', { response: answer.response, value: answer.value || '' });
  }
};
const accept = () => { if (mode === 'look') decide('accept'); };
const edit = () => { if (item && !busy && canDecide()) { mode = 'edit'; paint(); } };
const sendBack = () => { if (item && !busy && canDecide()) { mode = 'return'; paint(); } };
const leave = () => { mode = 'look'; paint(); };
const pass = () => { if (item && !busy && mode === 'look') load(item.position); };
const choose = (index) => { if (item && index < item.answers.length && mode === 'look' && index !== chosen) { chosen = index; paint({ focus: false }); say(tr('Answer {number}, by {name}, is chosen: A accepts it, E edits it.', { number: index + 1, name: item.answers[index].by })); } };
const canDecide = () => item.status !== 'todo' && Boolean(about());
const undo = async () => {
  if (busy || !project) return;
  busy = true;
  try {
    const found = await askReview('undo', { project, ...scope });
    if (found.taken_back) show(found);
    say(found.taken_back > 1 ? tr('Taken back: {count} examples wait again.', { count: found.taken_back }) : found.taken_back ? tr('Taken back: decide again.') : tr('Nothing left to take back.'));
    refreshOverview();
  } catch (error) { say(error.message, 'bad'); } finally { busy = false; }
};
const gold = async () => {
  const answer = about();
  if (busy || !item || mode !== 'look' || (!item.gold && answer?.action !== 'submit')) return;
  const remove = Boolean(item.gold);
  try {
    await askReview('gold', remove ? { example: item.id, remove } : { example: item.id, response: answer.response, value: answer.value });
    item.gold = remove ? null : { response: answer.response, value: answer.value, by: user.name };
    paint({ focus: false });
    say(remove ? tr('No gold example any more.') : tr('Gold: this answer is now the known one, and the example is shown hidden among the others.'), 'good');
  } catch (error) { say(error.message, 'bad'); }
};

const bulkWords = ({ source, count, annotator: name }) => (source === 'import'
  ? trn('{count} answer imported', '{count} answers imported', count)
  : trn('{count} answer by {name}', '{count} answers by {name}', count, { name }));
const bulkQuestion = ({ source, count, annotator: name }) => (source === 'import'
  ? trn('Accept {count} answer imported without looking at each? Alt+Z takes it back.', 'Accept {count} answers imported without looking at each? Alt+Z takes it back.', count)
  : trn('Accept {count} answer by {name} without looking at each? Alt+Z takes it back.', 'Accept {count} answers by {name} without looking at each? Alt+Z takes it back.', count, { name }));
// Accept all of one annotator, or all imported ones: first the list, then the question with the number.
const showBulk = () => {
  const line = el('p', { role: 'status', 'aria-live': 'polite', class: 'quiet' }, tr('Only answers on which no two annotators differ.'));
  const rows = el('div', { class: 'review-bulk' });
  const imported = (one) => one.source === 'import';
  const list = () => rows.replaceChildren(...bulk.map((one) => el('div', {}, el('span', { dir: 'auto' }, bulkWords(one)),
    button(tr('Accept all…'), () => confirm(one), { class: 'small', 'aria-label': imported(one) ? tr('Accept all {count} imported', { count: String(one.count) }) : tr('Accept all {count} by {name}', { count: String(one.count), name: one.annotator }) }))));
  const confirm = (one) => {
    const yes = button(trn('Accept {count} answer', 'Accept {count} answers', one.count), () => run(one), { class: 'first' });
    rows.replaceChildren(el('p', {}, bulkQuestion(one)),
      el('div', { class: 'desk-buttons' }, yes, button(tr('Not now'), list)));
    yes.focus();
  };
  const run = async (one) => {
    try {
      const { accepted } = await askReview('bulk', { project, annotator: one.annotator, source: one.source, expected: one.count });
      box.close();
      await load();
      say(trn('{count} answer accepted.', '{count} answers accepted.', accepted), 'good');
    } catch (error) { line.textContent = error.message; refreshOverview(); list(); }
  };
  list();
  const box = dialog(tr('Accept many'), line, rows, el('div', { class: 'desk-buttons' }, button(tr('Close'), () => box.close())));
};
const showKeysHelp = () => {
  if (root.querySelector('dialog[open]')) return;
  const box = dialog(tr('Keys'), el('dl', { class: 'review-keys' }, REVIEW_KEYS.map(([key, words]) => el('div', {}, el('dt', {}, words), el('dd', {}, el('kbd', {}, key))))),
    el('div', { class: 'desk-buttons' }, button(tr('Close'), () => box.close(), { class: 'first' })));
};
