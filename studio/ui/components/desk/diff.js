// Two texts word by word, by their longest common subsequence; and the panel that shows both sides of a conflict.

const CELLS = 4e6; // above that the middle counts as one change: the table would take too long

// [{kind: 'same' | 'gone' | 'new', words}], from `before` to `after`.
const wordDiff = (before, after) => {
  const a = before.split(/(\s+)/).filter(Boolean), b = after.split(/(\s+)/).filter(Boolean);
  let head = 0, tail = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const x = a.slice(head, a.length - tail), y = b.slice(head, b.length - tail);
  const parts = [];
  const add = (kind, word) => { if (parts.at(-1)?.kind === kind) parts.at(-1).words += word; else parts.push({ kind, words: word }); };
  a.slice(0, head).forEach((word) => add('same', word));
  if (x.length * y.length > CELLS) { add('gone', x.join('')); add('new', y.join('')); } else walk(x, y, add);
  a.slice(a.length - tail).forEach((word) => add('same', word));
  return parts;
};
// table[i][j]: length of the longest common subsequence of x from i and y from j.
const walk = (x, y, add) => {
  const width = y.length + 1, table = new Uint32Array((x.length + 1) * width);
  for (let i = x.length - 1; i >= 0; i -= 1) for (let j = y.length - 1; j >= 0; j -= 1)
    table[i * width + j] = x[i] === y[j] ? table[(i + 1) * width + j + 1] + 1 : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
  let i = 0, j = 0;
  while (i < x.length || j < y.length) {
    if (i < x.length && j < y.length && x[i] === y[j]) { add('same', x[i]); i += 1; j += 1; }
    else if (i < x.length && (j === y.length || table[(i + 1) * width + j] >= table[i * width + j + 1])) { add('gone', x[i]); i += 1; }
    else { add('new', y[j]); j += 1; }
  }
};

// An answer as plain text, whatever its task.
const asText = ({ response, value }) => {
  const words = task.kind === 'preference' ? choiceWords(response) : response;
  if (!value) return words;
  try {
    const parsed = JSON.parse(value);
    if (parsed.turns) return parsed.turns.map((turn) => `${turn.role === 'assistant' && !turn.train ? tr('{role} (not trained on)', { role: ROLES.assistant }) : ROLES[turn.role] || turn.role}: ${turn.content}`).join('\n\n');
    return [choiceWords(parsed.choice), parsed.margin && tr('margin {margin}', { margin: parsed.margin }), parsed.reason].filter(Boolean).join(' · ');
  } catch { return words; }
};
const marked = (parts, own) => el('p', { dir: 'auto' }, parts.filter(({ kind }) => kind === 'same' || kind === own)
  .map(({ kind, words }) => (kind === 'same' ? words : el('mark', { class: own }, words))));

// When and by whom the other version was saved.
const savedWords = ({ at, by }) => {
  const values = { name: by };
  if (at) values.time = clock(at);
  if (by === user?.name) return at ? tr('saved at {time} from another window of yours', values) : tr('saved from another window of yours');
  return at ? tr('saved at {time} by {name}', values) : tr('saved by {name}', values);
};

// The form below the panel stays live: what stands there is mine, and a submit keeps it.
const conflictPanel = ({ mine, theirs, message, onmine, ontheirs, onmerge }) => {
  const parts = wordDiff(asText(theirs), asText(mine));
  const [before, after] = tr('Or {button}: change the answer below and submit it.').split('{button}');
  const side = (words, note, body, keep) => el('section', { class: 'desk-version', 'aria-label': words }, el('span', { class: 'who' }, el('b', {}, words), note), body, keep);
  return el('div', { class: 'desk-conflict', role: 'group', 'aria-label': tr('Two versions of this answer') },
    el('p', { role: 'alert' }, message),
    el('div', { class: 'desk-versions' },
      side(tr('Theirs'), ' · ' + savedWords(theirs), marked(parts, 'gone'), button(tr('Keep theirs'), ontheirs)),
      side(tr('Mine'), ' · ' + tr('not saved yet, kept as a draft'), marked(parts, 'new'), button(tr('Keep mine'), onmine, { class: 'first' }))),
    el('p', { class: 'quiet' }, before, button(tr('edit merged'), onmerge, { class: 'link-button', 'aria-label': tr('Edit merged') }), after));
};
