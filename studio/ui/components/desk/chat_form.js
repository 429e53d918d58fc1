// A conversation as it is edited: turns are added, edited, moved and deleted (a deletion can be taken back), a system
// turn stands first, and each assistant turn says whether it is trained on.

const ROLES = { system: tr('System'), user: tr('User'), assistant: tr('Assistant'), tool: tr('Tool') };

// The calls of a turn as people read them: they are kept as they came, and are no text to edit.
const callsOf = (extra) => {
  let calls = [];
  try { calls = JSON.parse(extra).tool_calls || []; } catch { /* no calls */ }
  return calls.map(({ function: { name, arguments: said } }) => `${name}(${typeof said === 'string' ? said : JSON.stringify(said ?? {})})`).join('\n');
};

const chatForm = () => {
  let turns = [], deleted = [], held = false;
  const list = el('ol', { class: 'desk-turns', 'aria-label': tr('Conversation') });
  const back = button(tr('Bring it back'), () => restore(), {});
  const gone = el('p', { class: 'desk-gone', role: 'status', hidden: true }, el('span', {}), back);
  const adders = Object.entries({ user: tr('Add user turn'), assistant: tr('Add assistant turn'), system: tr('Add system turn') }).map(([role, words]) => button(words, () => add(role), { class: 'quiet-button', 'data-role': role }));
  adders[0].append(kbd('turn'));

  const fresh = (role, content = '', train = role === 'assistant', extra = '') => ({ role, content, train, extra, row: null });
  const edited = () => { if (!held) typed(); };
  const row = (turn) => {
    const area = el('textarea', { rows: 2, dir: 'auto', oninput: () => { turn.content = area.value; edited(); }, onfocus: () => { focused = turn; } });
    area.value = turn.content;
    area.readOnly = held;
    const tool = (words, sign, action, run) => button(sign, run, { class: 'tool', 'aria-label': words, title: `${words} (${shownKey(action)})` });
    const who = el('span', { class: 'who' });
    const train = el('button', { type: 'button', role: 'switch', class: 'train', 'aria-checked': String(turn.train), onclick: () => flip(turn) }, el('i', {}), tr('Train on this'));
    const node = el('li', { class: 'turn ' + turn.role },
      el('div', { class: 'turn-head' }, who, el('span', { class: 'grow' }), turn.role === 'assistant' ? train : null,
        tool(tr('Move turn up'), '↑', 'up', () => move(turn, -1)), tool(tr('Move turn down'), '↓', 'down', () => move(turn, 1)), tool(tr('Delete turn'), '✕', 'drop', () => drop(turn))),
      area, callsOf(turn.extra) ? el('pre', { class: 'calls' }, callsOf(turn.extra)) : null);
    return { node, area, train, who };
  };
  let focused = null;
  // Rows are kept and only put in order, so that the field in hand keeps its focus and its own undo.
  const paint = () => {
    const last = turns.findLast(({ role }) => role === 'assistant');
    turns.forEach((turn, index) => {
      turn.row ||= row(turn);
      set(turn.row.who, ROLES[turn.role]);
      turn.row.area.setAttribute('aria-label', turn === last ? tr('Response (turn {number}, assistant)', { number: index + 1 }) : tr('Turn {number}, {role}', { number: index + 1, role: roleWords(turn.role) }));
      turn.row.node.classList.toggle('target', turn.train && turn.role === 'assistant');
      turn.row.train.setAttribute('aria-checked', String(turn.train));
      const [up, down] = turn.row.node.querySelectorAll('.tool');
      up.disabled = turn.role === 'system' || index === 0 || turns[index - 1].role === 'system';
      down.disabled = turn.role === 'system' || index === turns.length - 1;
      if (list.children[index] !== turn.row.node) list.insertBefore(turn.row.node, list.children[index] || null);
    });
    while (list.children.length > turns.length) list.lastChild.remove();
    gone.hidden = !deleted.length;
    if (deleted.length) set(gone.firstChild, tr('Deleted: “{text}”. ', { text: short(deleted.at(-1).turn.content || tr('an empty turn'), 60) }));
    const hasSystem = turns.some(({ role }) => role === 'system');
    adders[2].hidden = hasSystem;
  };
  const at = () => (focused && turns.includes(focused) ? focused : turns.at(-1));
  const add = (role) => {
    if (held) return;
    const turn = fresh(role);
    if (role === 'system') turns.unshift(turn); else turns.push(turn);
    paint();
    edited();
    turn.row.area.focus();
  };
  const move = (turn, step) => {
    const from = turns.indexOf(turn), to = from + step;
    if (held || turn.role === 'system' || to < 0 || to >= turns.length || turns[to].role === 'system') return;
    const had = document.activeElement;
    turns.splice(to, 0, ...turns.splice(from, 1));
    paint();
    edited();
    if (turn.row.node.contains(had)) (had.disabled ? turn.row.area : had).focus();
  };
  const drop = (turn) => {
    if (held) return;
    const place = turns.indexOf(turn);
    turns.splice(place, 1);
    deleted.push({ turn, place });
    turn.row.node.remove();
    paint();
    edited();
    (turns[Math.min(place, turns.length - 1)]?.row.area || back).focus();
  };
  const restore = () => {
    const { turn, place } = deleted.pop();
    turns.splice(turn.role === 'system' ? 0 : Math.max(place, turns[0]?.role === 'system' ? 1 : 0), 0, turn);
    paint();
    edited();
    turn.row.area.focus();
  };
  const flip = (turn) => { if (!held && turn?.role === 'assistant') { turn.train = !turn.train; paint(); edited(); } };
  const start = (card) => {
    const given = card.turns.map(({ role, content, extra }) => fresh(role, content, false, extra));
    return given.at(-1)?.role === 'assistant' ? given.map((turn, index) => (index === given.length - 1 ? { ...turn, train: true } : turn)) : [...given, fresh('assistant')];
  };
  let card = { turns: [] };
  return {
    node: el('div', { class: 'desk-chat' }, heading(el('span', { class: 'label' }, tr('Conversation')), ''), list, gone, el('div', { class: 'desk-adders' }, adders)),
    layout: 'stack',
    show: (next) => { card = next; },
    write: ({ response, value }) => {
      let kept = null;
      try { kept = JSON.parse(value).turns; } catch { /* a plain response, or nothing yet */ }
      turns = kept ? kept.map(({ role, content, train, extra }) => fresh(role, content, Boolean(train), extra)) : start(card);
      if (!kept && response) turns.at(-1).content = response;
      deleted = [];
      focused = null;
      list.replaceChildren();
      paint();
    },
    read: () => ({
      response: turns.at(-1)?.role === 'assistant' ? turns.at(-1).content : '',
      value: JSON.stringify({ turns: turns.map(({ role, content, train, extra }) => ({ role, content, train: role === 'assistant' && train, ...(extra ? { extra } : {}) })) }),
    }),
    problem: () => {
      const last = turns.at(-1);
      if (!last || last.role !== 'assistant') return tr('A conversation ends with an assistant turn: add one, or delete what follows it.');
      const empty = turns.findIndex(({ content, extra }) => !content.trim() && !callsOf(extra));
      if (empty >= 0 && turns[empty] === last) return canSkip ? tr('Write a response first, or skip this one.') : tr('Write a response first.');
      if (empty >= 0) return tr('Turn {number} is empty: write it or delete it.', { number: empty + 1 });
      return turns.some(({ role, train }) => role === 'assistant' && train) ? '' : tr('Switch “Train on this” on for at least one assistant turn.');
    },
    focus: () => (turns.findLast(({ role }) => role === 'assistant') || turns.at(-1))?.row.area.focus({ preventScroll: true }),
    hold: (now) => { held = now; for (const turn of turns) turn.row.area.readOnly = now; },
    // The keys of a chat act on the turn in which the cursor is.
    chat: {
      turn: () => add(turns.at(-1)?.role === 'user' ? 'assistant' : 'user'),
      up: () => move(at(), -1), down: () => move(at(), 1), drop: () => turns.length && drop(at()), train: () => flip(at()),
    },
  };
};
