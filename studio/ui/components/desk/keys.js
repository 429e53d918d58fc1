// Which key does what. A key is written 'Ctrl+Enter', 'Alt+S', '1' or '?'; each user may give an action another one.

const choiceKeyWords = (number) => ({
  1: tr('Label or rating {number}, or answer A', { number }),
  2: tr('Label or rating {number}, or answer B', { number }),
  10: tr('Label or rating {number}, or a tie', { number }),
}[number] || tr('Label or rating {number}', { number }));
const ACTIONS = [
  { id: 'submit', words: tr('Submit'), key: 'Ctrl+Enter', group: tr('Answer') },
  { id: 'accept', words: tr('Accept the suggestion and submit'), key: 'Alt+A', group: tr('Answer') },
  { id: 'skip', words: tr('Skip'), key: 'Alt+S', group: tr('Answer') },
  { id: 'flag', words: tr('Flag'), key: 'Alt+F', group: tr('Answer') },
  { id: 'undo', words: tr('Undo'), key: 'Alt+Z', group: tr('Answer') },
  { id: 'previous', words: tr('Open my last answer again'), key: 'Alt+P', group: tr('Around') },
  { id: 'view', words: tr('Focus or bulk view'), key: 'Alt+B', group: tr('Around') },
  { id: 'similar', words: tr('Find similar examples'), key: 'Alt+M', group: tr('Around') },
  { id: 'guidelines', words: tr('Show or hide the guidelines'), key: 'Alt+G', group: tr('Around') },
  { id: 'help', words: tr('Show the keys'), key: '?', group: tr('Around') },
  { id: 'turn', words: tr('Chat: add a turn'), key: 'Alt+N', group: tr('Chat') },
  { id: 'up', words: tr('Chat: move this turn up'), key: 'Alt+ArrowUp', group: tr('Chat') },
  { id: 'down', words: tr('Chat: move this turn down'), key: 'Alt+ArrowDown', group: tr('Chat') },
  { id: 'drop', words: tr('Chat: delete this turn'), key: 'Alt+X', group: tr('Chat') },
  { id: 'train', words: tr('Chat: train on this turn, or not'), key: 'Alt+T', group: tr('Chat') },
  ...Array.from({ length: 10 }, (_, index) => ({
    id: 'choose' + (index + 1),
    words: choiceKeyWords(index + 1),
    key: String((index + 1) % 10),
    group: tr('Choose'),
  })),
];
const DEFAULTS = Object.fromEntries(ACTIONS.map(({ id, key }) => [id, key]));
const wordsOf = (id) => ACTIONS.find((action) => action.id === id).words;

const mac = /Mac|iP(hone|ad)/.test(navigator.platform);
let keys = { ...DEFAULTS };

// The key of an event, or '' for one that only writes. On a Mac, Option and a letter types a letter, so there Control
// goes with it; AltGr types letters everywhere.
const keyOf = (event) => {
  if (event.getModifierState?.('AltGraph') || (mac && event.altKey && !event.ctrlKey)) return '';
  const control = event.metaKey || (event.ctrlKey && !(mac && event.altKey));
  const plain = !control && !event.altKey;
  let key = event.key;
  const coded = /^(?:Key|Digit)(.)$/.exec(event.code || '');
  if (coded && (!plain ? !/^[a-z0-9]$/i.test(key) : /^Digit/.test(event.code) && !event.shiftKey)) key = coded[1];
  if (key.length === 1) key = key.toUpperCase();
  const shift = event.shiftKey && (!plain || key.length > 1 || /[A-Z]/.test(key));
  return [control && 'Ctrl', event.altKey && 'Alt', shift && 'Shift', key].filter(Boolean).join('+');
};
const actionOf = (key) => (key ? ACTIONS.find(({ id }) => keys[id] === key)?.id : undefined);
const isPlain = (key) => !/^(Ctrl|Alt)\+/.test(key);

// As it is shown on a button, and as a screen reader is told.
const NAMES = { Enter: '↵', ArrowUp: '↑', ArrowDown: '↓', ArrowLeft: '←', ArrowRight: '→' };
const shownKey = (id) => {
  const parts = keys[id].split('+');
  const key = NAMES[parts.at(-1)] || parts.at(-1) || '+';
  if (mac) return parts.slice(0, -1).map((part) => ({ Ctrl: '⌘', Alt: '⌃⌥', Shift: '⇧' }[part])).join('') + ' ' + key;
  return [...parts.slice(0, -1), key].join(' ');
};
const ariaKey = (id) => keys[id].replace('Ctrl', mac ? 'Meta' : 'Control').replace('Alt', mac ? 'Control+Alt' : 'Alt');

// Buttons that show their key are kept up to date: kbd nodes carry the action in data-key.
const kbd = (id) => el('kbd', { 'aria-hidden': 'true', 'data-key': id }, shownKey(id));
const showKeys = () => {
  for (const node of root.querySelectorAll('kbd[data-key]')) set(node, shownKey(node.dataset.key));
  for (const node of root.querySelectorAll('[data-shortcut]')) node.setAttribute('aria-keyshortcuts', ariaKey(node.dataset.shortcut));
};

const loadKeys = async () => {
  try {
    const known = Object.entries((await ask('keys')).keys || {}).filter(([id, key]) => id in DEFAULTS && typeof key === 'string' && key);
    keys = { ...DEFAULTS, ...Object.fromEntries(known) };
    showKeys();
  } catch { /* the defaults do */ }
};

// Why a key cannot be given to an action; '' when it can.
const TAKEN = /^(Tab|Shift\+Tab|Enter|Shift\+Enter|Escape| |Backspace|Delete|F5|F11|F12|Arrow\w+|Ctrl\+([ACFLNPRTVWXYZ]|Tab|F4|Shift\+[INT]))$/;
const refusal = (id, key) => {
  if (!key || /(Control|Shift|Alt|Meta|CapsLock|Dead|AltGraph|Process)$/.test(key)) return tr('This key types a character: hold Ctrl or Alt with it, or choose another.');
  if (TAKEN.test(key)) return tr('{key} belongs to the browser and to text fields: choose another key.', { key: key === ' ' ? tr('The space bar') : key });
  const other = ACTIONS.find((action) => action.id !== id && keys[action.id] === key);
  return other ? tr('{key} is already the key of “{action}”: give that action another key first.', { key, action: other.words }) : '';
};

// The dialog that lists the keys and changes them.
const showHelp = () => {
  if (root.querySelector('dialog[open]')) return;
  const line = el('p', { class: 'desk-key-say', role: 'status', 'aria-live': 'polite' }, tr('Click a key to change it. Esc leaves a text field, so that single keys act.'));
  const rows = el('div', { class: 'desk-keys' });
  let waiting = null;
  const save = async (wanted, words) => {
    try {
      await ask('keys', { keys: wanted });
      keys = { ...DEFAULTS, ...wanted };
      line.textContent = words;
    } catch (error) { line.textContent = tr('{problem} The keys are as they were.', { problem: error.message }); }
    waiting = null;
    paint();
    showKeys();
  };
  const paint = () => {
    const focused = document.activeElement?.dataset?.action;
    rows.replaceChildren(...[...new Set(ACTIONS.map(({ group }) => group))].map((group) =>
      el('section', {}, el('h3', {}, group), el('dl', {}, ACTIONS.filter((action) => action.group === group).map(({ id, words }) =>
        el('div', {}, el('dt', {}, words), el('dd', {}, button(waiting === id ? tr('press a key…') : shownKey(id), () => { waiting = id; line.textContent = tr('Press the new key for “{action}”; Esc leaves it.', { action: words }); paint(); }, {
          class: 'desk-key' + (waiting === id ? ' waiting' : ''), 'data-action': id, 'aria-label': tr('Change the key of {action}, now {key}', { action: words, key: keys[id] }),
        }))))))));
    if (focused) rows.querySelector(`[data-action=${focused}]`)?.focus();
  };
  paint();
  const box = dialog(tr('Keys'), line, rows, el('div', { class: 'desk-buttons' },
    button(tr('Close'), () => box.close(), { class: 'first' }),
    button(tr('Reset to defaults'), () => save({}, tr('All keys are as they came.')))));
  box.addEventListener('cancel', (event) => { if (waiting) event.preventDefault(); });
  box.addEventListener('keydown', (event) => {
    if (!waiting || ['Control', 'Shift', 'Alt', 'Meta', 'AltGraph'].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === 'Escape') { waiting = null; line.textContent = tr('Left as it was.'); paint(); return; }
    const key = keyOf(event), why = refusal(waiting, key);
    if (why) { line.textContent = why; return; }
    save({ ...keys, [waiting]: key }, tr('{key} is now the key of “{action}”.', { key, action: wordsOf(waiting) }));
  });
  rows.querySelector('button').focus();
};
