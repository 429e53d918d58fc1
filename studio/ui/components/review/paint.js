// The reviewer's screen as nodes, and the keys. Painted anew for each example; a text being written is kept.

const commentField = el('textarea', { id: 'review-comment', rows: 3, dir: 'auto', 'aria-keyshortcuts': 'Control+Enter' });
const topRow = el('div', { class: 'review-top' });

const paintTop = () => {
  const counts = { all: null, pending: waiting?.pending, flagged: waiting?.flagged, differing: waiting?.differing };
  const kinds = el('div', { class: 'switch', role: 'group', 'aria-label': tr('What to review') }, Object.keys(WORDS).map((kind) =>
    button(WORDS[kind] + (counts[kind] ? ` ${counts[kind].toLocaleString(window.studioWords.language)}` : ''), () => { scope = { ...scope, kind }; load(); }, { 'aria-pressed': String(scope.kind === kind) })));
  const names = [...new Set([...bulk.filter((one) => one.annotator).map((one) => one.annotator), scope.annotator])].filter(Boolean).sort();
  const select = el('select', { 'aria-label': tr('Annotator'), onchange: () => { scope = { ...scope, annotator: select.value }; load(); } },
    el('option', { value: '' }, tr('every annotator')), names.map((name) => el('option', { value: name, selected: name === scope.annotator }, name)));
  topRow.replaceChildren(kinds, select, el('span', { class: 'grow' }),
    button(tr('Accept many…'), showBulk, { class: 'tool', disabled: !bulk.length }),
    button([el('span', {}, tr('Undo')), kbd('undo')], undo, { class: 'tool', 'aria-label': tr('Undo my last decision'), 'aria-keyshortcuts': ariaKey('undo') }),
    button([el('span', {}, tr('Keys')), el('kbd', { 'aria-hidden': 'true' }, '?')], showKeysHelp, { class: 'tool' }));
};

const act1 = (words, key, run, className = '', extra = {}) => button([el('span', {}, words), el('kbd', { 'aria-hidden': 'true' }, key)], run, { class: className, 'aria-keyshortcuts': key, ...extra });

const actionsNode = () => {
  const answer = about();
  if (!canDecide()) {
    return el('p', { class: 'quiet' }, item.status !== 'todo' ? tr('No answer to this example stands.')
      : item.returned_to ? tr('This example is with {name}: it can be reviewed once it is answered.', { name: item.returned_to })
        : tr('This example is with the annotators: it can be reviewed once it is answered.'));
  }
  const aside = answer.action !== 'submit';
  return el('div', { class: 'desk-buttons' },
    act1(aside ? tr('Put aside') : item.answers.length > 1 ? tr('Accept the chosen one') : tr('Accept'), 'A', accept, 'first'),
    act1(aside ? tr('Write the answer') : tr('Edit'), 'E', edit), act1(tr('Send back'), 'R', sendBack), act1(tr('Next'), 'N', pass),
    aside ? null : act1(item.gold ? tr('Not gold') : tr('Gold'), 'G', gold));
};
// Ids of a form are those of the Label tab's form too, and an id may stand in a page once.
const ownIds = (node) => {
  const put = (element, name) => { if (element.hasAttribute(name)) element.setAttribute(name, element.getAttribute(name).split(' ').map((id) => 'review-' + id).join(' ')); };
  for (const one of [node, ...node.querySelectorAll('*')]) for (const name of ['id', 'for', 'aria-labelledby', 'aria-describedby']) put(one, name);
  return node;
};
const editNode = () => {
  form = makeForm();
  form.show?.(item);
  const given = about();
  form.write({ response: given.response || '', value: given.value || '' }, item);
  return el('div', { class: 'review-work', role: 'group', 'aria-label': tr('Edit') }, ownIds(form.node),
    el('div', { class: 'desk-buttons' }, act1(tr('Save'), 'Ctrl ↵', save, 'first', { 'aria-keyshortcuts': 'Control+Enter' }), act1(tr('Leave'), 'Esc', leave, '', { 'aria-keyshortcuts': 'Escape' })));
};
const returnNode = () => {
  commentField.value = '';
  const words = about().source === 'import' ? tr('What should be different (for whoever takes it next)') : tr('What should be different (for {name})', { name: about().by });
  return el('div', { class: 'review-work' }, el('label', { for: 'review-comment' }, words), commentField,
    el('div', { class: 'desk-buttons' }, act1(tr('Send back'), 'Ctrl ↵', save, 'first', { 'aria-keyshortcuts': 'Control+Enter' }), act1(tr('Leave'), 'Esc', leave, '', { 'aria-keyshortcuts': 'Escape' })));
};
const clashNode = () => el('div', { class: 'desk-conflict', role: 'group', 'aria-label': tr('This example changed') }, el('p', { role: 'alert' }, clash.message),
  clash.before === clash.now ? null : both(wordDiff(clash.before, clash.now)));

const answersNode = () => {
  const several = item.answers.length > 1, base = several ? textOf(item.answers[chosen]) : null;
  const nodes = item.answers.map((answer, index) => answerNode(answer, index, { chosen: index === chosen, several, against: several && index !== chosen ? base : null, onchoose: choose }));
  return el('div', { class: 'review-answers' + (several ? ' several' : '') }, nodes.length ? nodes : el('p', { class: 'quiet' }, tr('No answer stands.')));
};
const stateNode = () => el('div', { class: 'desk-heading' }, el('span', { class: 'label' }, item.answers.length > 1 ? trn('{count} answer', '{count} answers', item.answers.length) : tr('Answer')),
  item.status === 'flagged' ? el('span', { class: 'chip warn' }, tr('flagged')) : null,
  item.differs ? el('span', { class: 'chip warn' }, tr('annotators differ')) : null,
  item.review === 'accepted' ? el('span', { class: 'chip good' }, tr('accepted')) : null,
  item.review === 'returned' ? el('span', { class: 'chip' }, tr('sent back')) : null,
  item.gold ? el('span', { class: 'chip busy' }, tr('gold')) : null);

const emptyNode = () => {
  const words = !project ? [tr('No project chosen'), tr('Choose a project above, or create one in the Projects tab.')]
    : scope.kind !== 'all' || scope.annotator ? [tr('Nothing of this kind waits'), tr('Choose another kind above, or every annotator.')]
      : task && !task.review ? [tr('Nothing waits for a reviewer'), tr('Flagged examples and annotators who differ come here. To look at every answer, ask for a review in the project’s settings (Projects tab).')]
        : [tr('All reviewed'), tr('New answers come here as they are given.')];
  return el('div', { class: 'empty' }, el('strong', {}, words[0]), el('p', {}, words[1]));
};

let workNode = null;
const paint = ({ keepForm = false, focus = true } = {}) => {
  root = element.querySelector('.desk') || element.appendChild(el('div', { class: 'desk review' }));
  const elsewhere = writesText(document.activeElement) && !root.contains(document.activeElement);
  paintTop();
  topRow.hidden = !project;
  if (!item) { form = workNode = null; root.replaceChildren(topRow, emptyNode(), el('div', { class: 'desk-line' }, sayLine)); return; }
  if (!keepForm || !workNode) { form = null; workNode = mode === 'edit' ? editNode() : mode === 'return' ? returnNode() : null; }
  const standing = item.answers.length ? textOf(item.answers[chosen]) : null;
  const example = exampleNode(item);
  root.replaceChildren(topRow, el('div', { class: 'review-columns' + (item.answers.length > 1 ? ' stack' : ''), 'data-example': item.id },
    example, el('section', { class: 'review-side', 'aria-label': tr('Answers') }, clash ? clashNode() : null, stateNode(), answersNode(),
      mode === 'look' ? actionsNode() : workNode, el('div', { class: 'desk-line' }, sayLine), ...pastNode(item, standing))),
    following ? el('p', { class: 'quiet review-next' }, tr('Next: {text}', { text: short(following.turns.at(-1)?.content || '', 110) })) : '');
  if (!focus || elsewhere || element.offsetParent === null) return;
  if (mode === 'edit') form.focus(); else if (mode === 'return') commentField.focus(); else example.focus({ preventScroll: true });
};

// Listens on the document, so that the keys act wherever the focus is; only while the desk is on screen.
const onKey = (event) => {
  if (!element.isConnected) { document.removeEventListener('keydown', onKey); return; }
  if (element.offsetParent === null || event.isComposing || event.repeat || !project || root.querySelector('dialog[open]')) return;
  const key = keyOf(event), focused = document.activeElement, inside = root.contains(focused);
  if (!inside && writesText(focused)) return;
  const writes = writesText(focused) || (inside && focused.type === 'search');
  const run = runOf(key, writes);
  if (!run) return;
  event.preventDefault();
  event.stopPropagation();
  run();
};
const runOf = (key, writes) => {
  if (key === keys.undo) return undo;
  if (key === 'Escape' && mode !== 'look') return leave;
  if (key === keys.submit && mode !== 'look') return save;
  if (writes || !isPlain(key)) return null;
  const digit = /^[0-9]$/.test(key) ? (Number(key) + 9) % 10 : -1;
  if (mode === 'edit') return digit >= 0 && form.choose ? () => form.choose(digit) : null;
  if (digit >= 0 && mode === 'look') return () => choose(digit);
  return mode === 'look' ? { A: accept, E: edit, R: sendBack, N: pass, G: gold, '?': showKeysHelp }[key.replace('Shift+', '')] : null;
};
document.addEventListener('keydown', onKey, true);

// Gradio sends the same value again when the tab is looked at anew: the example in hand stays, and is read afresh.
const follow = () => {
  const [name, id] = (props.value || '').split('#');
  const kept = name === project && !id && item?.waits ? item : null;
  if (name !== project) { waiting = null; bulk = []; scope = { kind: 'all', annotator: '' }; }
  else if (!id && (mode !== 'look' || busy || loaded < loads)) return;   // nothing being written, or on its way, is lost
  project = name;
  load(kept ? kept.position : 0, kept ? kept.id : id);
};
watch('value', follow);
loadKeys();
follow();
