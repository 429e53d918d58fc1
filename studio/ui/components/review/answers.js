// What a reviewer looks at: the example, the annotators' answers with what differs between them, and what came before.

const askReview = async (path, body) => {
  const options = { signal: AbortSignal.timeout(TIMEOUT) };
  if (body) Object.assign(options, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  let response, answer;
  try {
    response = await fetch('/api/review/' + path, options);
    answer = await response.json();
  } catch {
    throw Object.assign(new Error(tr('No connection to the studio: nothing was decided, try again.')), { told: false });
  }
  if (response.ok) return answer;
  const message = answer.message || tr('The studio could not do this: look at its log, then try again.');
  throw Object.assign(new Error(message), { told: true, status: response.status, item: answer.item });
};

const ACTION_WORDS = { submit: tr('answered'), skip: tr('skipped'), flag: tr('flagged') };
const DECISION_WORDS = { accept: tr('accepted'), edit: tr('edited'), return: tr('sent back') };

const seconds = (value) => {
  if (value === null) return '';
  if (value < 60) return tr('{seconds} s', { seconds: Math.round(value) });
  return tr('{time} min', { time: `${Math.floor(value / 60)}:${String(Math.round(value % 60)).padStart(2, '0')}` });
};
const day = (iso) => el('time', { datetime: iso }, iso);
const mine = (by) => user && by === user.name;

// Both sides of a difference in one text: what is only in the other one struck through, what is only here marked.
const both = (parts) => el('p', { dir: 'auto' }, parts.map(({ kind, words }) => (kind === 'same' ? words
  : kind === 'new' ? el('ins', {}, words) : el('del', {}, words))));

const textOf = (answer) => (answer.action === 'submit' || answer.response || answer.value ? asText(answer) : '');

// The example: conversation, context, and the two answers of a preference.
const exampleNode = (item) => el('section', { class: 'review-example', tabindex: -1, 'aria-label': tr('Example') },
  item.turns.map((turn) => el('div', { class: 'turn ' + turn.role }, el('span', { class: 'who' }, roleWords(turn.role)), turn.content ? el('p', { dir: 'auto' }, turn.content) : null, turn.calls ? el('pre', { class: 'calls' }, turn.calls) : null)),
  item.context ? el('details', { class: 'turn context', open: item.context.length < 600 }, el('summary', { class: 'who' }, tr('context')), el('p', { dir: 'auto' }, item.context)) : null,
  ['a', 'b'].filter((side) => item.payload?.[side]).map((side) => el('div', { class: 'turn' }, el('span', { class: 'who' }, tr('answer {answer}', { answer: side.toUpperCase() })), el('p', { dir: 'auto' }, item.payload[side]))));

// Where an answer came from, in a line.
const origin = (answer) => {
  const bits = [];
  if (answer.source === 'import') bits.push(tr('imported'));
  if (answer.source === 'review') bits.push(tr('a reviewer’s edit'));
  if (answer.source === 'relabel') bits.push(tr('label changed later'));
  const { source } = answer.suggested || {};
  if (answer.suggested) bits.push(asText(answer.suggested) === asText(answer) ? tr('suggestion by {source}, as it was', { source }) : tr('suggestion by {source}, changed', { source }));
  if (answer.seconds !== null) bits.push(seconds(answer.seconds));
  return bits;
};
const labelChips = (answer) => answer.response.split('\n').filter(Boolean).map((name) => {
  const label = task.labels.find((one) => one.name === name);
  const swatch = el('i', { class: 'swatch' });
  swatch.style.setProperty('--label', colour(label || {}));
  return el('span', { class: 'review-label', dir: 'auto' }, swatch, name);
});
const isLabels = () => ['classification', 'multi-label'].includes(task.kind);

// One annotator's answer. `against`: the text that it is compared with word by word, or null.
const answerNode = (answer, index, { chosen, several, against, onchoose }) => {
  const words = textOf(answer);
  const body = isLabels() && answer.action === 'submit' ? el('p', { class: 'review-labels' }, labelChips(answer))
    : against !== null && against !== words && words ? both(wordDiff(against, words)) : el('p', { dir: 'auto' }, words || tr('(no text)'));
  const head = el('span', { class: 'who' },
    several ? el('kbd', { 'aria-hidden': 'true' }, String(index + 1)) : null,
    el('b', { dir: 'auto' }, answer.by), mine(answer.by) ? el('span', { class: 'chip warn' }, tr('your own answer')) : null,
    answer.action === 'submit' ? null : el('span', { class: 'chip warn' }, ACTION_WORDS[answer.action]),
    el('span', {}, origin(answer).map((words) => words + ' · '), day(answer.at)));
  const place = { number: index + 1, name: answer.by };
  const pick = several ? button(chosen ? tr('Chosen') : tr('Choose'), () => onchoose(index), { class: 'small', 'aria-pressed': String(chosen), 'aria-label': tr('Choose answer {number}, by {name}', place) }) : null;
  return el('article', { class: 'review-answer' + (several && chosen ? ' chosen' : ''), 'aria-label': tr('Answer {number}, by {name}', place) },
    el('div', { class: 'review-head' }, head, pick), body,
    answer.suggested && asText(answer.suggested) !== words && !isLabels()
      ? folded(tr('What was suggested, and what was changed'), both(wordDiff(asText(answer.suggested), words))) : null);
};

const folded = (words, ...children) => el('details', { class: 'review-folded' }, el('summary', {}, words), ...children);

// What came before the answers that stand: revisions, each against the one that stands, and decisions.
const pastNode = (item, standing) => {
  const revisions = item.revisions.toReversed().map((answer) => el('li', {},
    el('span', { class: 'who' }, el('b', { dir: 'auto' }, answer.by), ` ${ACTION_WORDS[answer.action]} · `, day(answer.at), answer.source === 'review' ? ' · ' + tr('a reviewer’s edit') : ''),
    standing === null || isLabels() ? el('p', { dir: 'auto' }, textOf(answer)) : both(wordDiff(standing, textOf(answer)))));
  const decisions = item.decisions.toReversed().map((row) => el('li', { class: row.undone ? 'undone' : null },
    el('span', { class: 'who' }, el('b', { dir: 'auto' }, row.by), ` ${row.undone ? tr('{decision}, taken back', { decision: DECISION_WORDS[row.decision] }) : DECISION_WORDS[row.decision]} · `, day(row.at)),
    row.comment ? el('p', { dir: 'auto' }, row.comment) : null));
  return [
    revisions.length ? folded(trn('{count} earlier revision', '{count} earlier revisions', revisions.length), el('ul', {}, revisions)) : null,
    decisions.length ? folded(trn('{count} decision so far', '{count} decisions so far', decisions.length), el('ul', {}, decisions)) : null,
  ];
};
