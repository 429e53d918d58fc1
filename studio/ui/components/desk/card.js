// The card in hand: its prompt on one side, the form on the other. The frame stays; a new card only changes what differs.

const actButton = (name, words, className = 'plain') => {
  const node = el('button', { type: 'button', class: className, 'aria-label': words, 'data-shortcut': name, 'aria-keyshortcuts': ariaKey(name), onclick: () => run(name) }, el('span', {}, words), kbd(name));
  return node;
};

const turnNode = (turn) => el('div', { class: 'turn ' + turn.role }, el('span', { class: 'who' }, roleWords(turn.role)), turn.content ? el('p', { dir: 'auto' }, turn.content) : null, turn.calls ? el('pre', { class: 'calls' }, turn.calls) : null);
const contextNode = (words) => el('details', { class: 'turn context', open: true }, el('summary', { class: 'who' }, tr('context')), el('p', { dir: 'auto' }, words));
const toolsNode = (words) => el('details', { class: 'turn context' }, el('summary', { class: 'who' }, tr('tools')), el('pre', { class: 'calls' }, words));

// Nodes of the frame that a card fills. Made anew only when the task changes.
let frame = null;
const shapeOf = () => JSON.stringify([project, task]);
const makeFrame = () => {
  form = makeForm();
  const side = el('section', { class: 'desk-side prompt', 'aria-label': tr('Example') });
  const place = el('span', { class: 'quiet' });
  const similar = el('button', { type: 'button', class: 'link-button', 'data-shortcut': 'similar', onclick: () => run('similar') }, tr('Find similar'));
  const languages = task.kind === 'translation' && task.source_language ? el('span', { class: 'chip' }, tr('from {language}', { language: task.source_language })) : null;
  const head = el('div', { class: 'desk-heading' }, place, languages, el('span', { class: 'grow' }), similar);
  const comment = el('div', { class: 'desk-comment', role: 'note', hidden: true });
  const clash = el('div', { class: 'desk-clash' });
  const suggestion = makeSuggestion();
  const buttons = {
    submit: actButton('submit', tr('Submit'), 'first'), skip: actButton('skip', tr('Skip')), flag: actButton('flag', tr('Flag')), undo: actButton('undo', tr('Undo')),
  };
  const lease = el('p', { class: 'desk-lease quiet' });
  const foot = el('div', { class: 'desk-foot' }, el('div', { class: 'desk-buttons' }, Object.values(buttons)), el('div', { class: 'desk-line' }, lease));
  const answer = el('section', { class: 'desk-side answer', 'aria-label': tr('Answer') }, suggestion.node, form.node, foot);
  const node = el('div', { class: 'desk-columns ' + form.layout, 'data-kind': task.kind }, side, answer);
  return { node: el('div', { class: 'desk-focus' }, head, comment, clash, node), side, place, similar, comment, clash, suggestion, buttons, lease, line: foot.lastChild, shape: shapeOf() };
};

const SOURCES = { starter: tr('the starter model'), encoder: tr('the starter encoder'), endpoint: tr('the endpoint'), '': tr('a model') };
const sourceWords = (source) => SOURCES[source || ''] || (source.startsWith('run:') ? tr('run {name}', { name: source.slice(4) }) : source);
const rateWords = (rate) => (rate === null || rate === undefined ? '' : ' · ' + tr('{percent} % accepted this week', { percent: Math.round(100 * rate) }));
const sameAnswer = (a, b) => a.response.trim() === b.response.trim() && (a.value || '') === (b.value || '');

const makeSuggestion = () => {
  const words = el('span', {}), choice = el('b', { class: 'suggested-label', dir: 'auto' });
  const accept = el('button', { type: 'button', class: 'small', 'aria-label': tr('Accept'), 'data-shortcut': 'accept', 'aria-keyshortcuts': ariaKey('accept'), onclick: () => run('accept') }, tr('Accept'), kbd('accept'));
  const clear = button(tr('Clear'), () => rewrite(NOTHING), { class: 'small', 'aria-label': tr('Clear the draft') });
  const restore = button(tr('Restore'), () => rewrite(desk.card.suggestion), { class: 'small', 'aria-label': tr('Restore the draft') });
  return { node: el('div', { class: 'desk-suggestion', hidden: true }, el('span', { class: 'spark', 'aria-hidden': 'true' }, '✦'), words, choice, el('span', { class: 'grow' }), accept, clear, restore), words, choice, accept, clear, restore };
};
const rewrite = (answer) => {
  form.write(answer);
  typed();
  form.focus();
};
// Whether the form still holds what the model wrote; kept current while typing.
const untouchedSuggestion = () => Boolean(desk?.card?.suggestion) && sameAnswer(form.read(), normal(desk.card.suggestion));
const normal = ({ response, value }) => ({ response: response || '', value: value || '' });
const showSuggestionState = () => {
  const given = desk?.card?.suggestion;
  if (!given || !frame) return;
  const { words, accept, clear, restore, choice } = frame.suggestion;
  const offered = Boolean(form.suggest), asIs = offered || untouchedSuggestion();
  const source = sourceWords(given.source);
  const state = offered ? tr('suggested by {source}', { source }) : asIs ? tr('draft by {source}', { source }) : tr('edited from the draft by {source}', { source });
  set(words, state + rateWords(given.rate));
  set(choice, offered ? given.response.split('\n').map(task.kind === 'preference' ? choiceWords : String).join(', ') : '');
  accept.hidden = !asIs;
  clear.hidden = offered || !asIs;
  restore.hidden = offered || asIs;
};

const paintCard = () => {
  const { card } = desk;
  root.classList.remove('is-empty');
  frame.side.replaceChildren(...(task.kind === 'chat' ? [] : card.turns.map(turnNode)), ...(card.context ? [contextNode(card.context)] : []), ...(card.payload.tools ? [toolsNode(card.payload.tools)] : []));
  frame.side.hidden = !frame.side.children.length;
  set(frame.place, [card.source, { labeled: tr('labeled'), skipped: tr('skipped'), flagged: tr('flagged'), dropped: tr('dropped') }[card.status]].filter(Boolean).join(' · '));
  frame.comment.hidden = !card.comment;
  if (card.comment) frame.comment.replaceChildren(el('b', {}, tr('Sent back by {name}', { name: card.comment.by })), el('p', { dir: 'auto' }, card.comment.text));
  if (frame.clash.firstChild) frame.clash.replaceChildren();
  set(frame.buttons.skip.firstChild, card.status === 'todo' ? tr('Skip') : tr('Back to the queue'));
  frame.buttons.skip.setAttribute('aria-label', frame.buttons.skip.firstChild.textContent);
  frame.suggestion.node.hidden = !card.suggestion;
  form.show?.(card);
  const local = localDraft(card.id);
  const choiceOnly = Boolean(form.suggest); // a suggested choice is marked, never chosen
  const answer = local || card.draft || card.answer || (choiceOnly ? null : card.suggestion) || NOTHING;
  form.write(normal(answer));
  form.suggest?.(card.suggestion ? card.suggestion.response : null);
  touched = sent = 0;
  markDraft(card.draft ? 'saved' : '');
  showSuggestionState();
  if (local) { touched = 1; markDraft('saving'); draftTimer = setTimeout(keepDraft, DEBOUNCE); }
  paintLease();
};
const paintFrameState = () => {
  const possible = desk.undoable === undefined || desk.undoable > 0;
  for (const node of root.querySelectorAll('[data-shortcut=undo]')) {
    node.disabled = !possible;
    node.title = possible ? (desk.undoable ? trn('{count} act can be taken back', '{count} acts can be taken back', desk.undoable) : '') : tr('Nothing to take back yet');
  }
};

const paintLease = () => {
  const until = desk?.card?.lease_until;
  if (!frame) return;
  if (!until || desk.card.status !== 'todo') { set(frame.lease, ''); return; }
  const over = Date.parse(until) < Date.now();
  set(frame.lease, over ? tr('Your hold ended at {time}. Your text is kept, and submitting still counts.', { time: clock(until) }) : tr('Held for you until {time}', { time: clock(until) }));
  frame.lease.classList.toggle('over', over);
};

// Focus goes where the next keystroke should act, but never out of a field in which somebody writes.
const takeFocus = () => {
  const active = document.activeElement;
  if (active && !element.contains(active) && writesText(active)) return;
  form.focus();
};
