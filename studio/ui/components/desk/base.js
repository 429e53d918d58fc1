// What all parts of the labeling form share: the state, requests, and making nodes.
// The files of this folder are one script (label_desk.py puts them together). Text only ever goes in as text nodes.

let project = '';                          // what is to be labeled
let desk = null, task = null, user = null; // as the server last said them
let form = null, view = 'focus';           // the form of the task in hand; 'focus' or 'bulk'
let busy = false;                          // an act is on its way: nothing else may act
let root = element.querySelector('.desk');

const TIMEOUT = 20000; // ms until a request counts as lost

// Rejects with {told: true} and the server's own sentence, or with {told: false} when nothing useful came back.
const ask = async (path, body) => {
  const options = { signal: AbortSignal.timeout(TIMEOUT) };
  if (body) Object.assign(options, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  let response, answer;
  try {
    response = await fetch('/api/label/' + path, options);
    answer = await response.json();
  } catch {
    const refused = response && response.status >= 400 && response.status < 500;
    throw Object.assign(new Error(refused ? tr('The studio refused this: reload the page.') : tr('No connection to the studio.')), { told: Boolean(refused) });
  }
  if (response.ok) return answer;
  const message = answer.message || tr('The studio could not do this: look at its log, then try again.');
  throw Object.assign(new Error(message), { told: true, status: response.status, conflict: answer.conflict });
};

// Writes go one at a time and in order: a draft must never overtake the submit that follows it. A look at the desk
// waits for the writes before it, but no write waits for a look.
let chain = Promise.resolve();
const write = (path, body) => (chain = chain.catch(() => {}).then(() => ask(path, body)));
const look = (path) => chain.catch(() => {}).then(() => ask(path));
const beacon = (path, body) =>
  navigator.sendBeacon('/api/label/' + path, new Blob([JSON.stringify(body)], { type: 'application/json' }));

const el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
};
const button = (words, onclick, attributes = {}) => el('button', { type: 'button', onclick, ...attributes }, words);
const set = (node, words) => { if (node.textContent !== words) node.textContent = words; };
const roleWords = (role) => ({ system: tr('system'), user: tr('user'), assistant: tr('assistant'), tool: tr('tool') }[role] || role);
const choiceWords = (choice) => (choice === 'tie' ? tr('tie') : choice); // of a preference
const clock = (iso) => new Date(iso).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
const short = (words, length = 90) => (words.length > length ? words.slice(0, length - 1) + '…' : words);
const colour = (label) => (/^#[0-9a-f]{6}$/i.test(label.colour || '') ? label.colour : 'var(--accent)');
const writesText = (node) =>
  Boolean(node) && (node.isContentEditable || ['TEXTAREA', 'SELECT'].includes(node.tagName)
    || (node.tagName === 'INPUT' && !['checkbox', 'radio', 'button'].includes(node.type)));

// The one line that says what just happened; it moves to where the work is.
const sayLine = el('p', { class: 'desk-say', role: 'status', 'aria-live': 'polite' });
const say = (message, kind = '') => {
  set(sayLine, message);
  sayLine.className = 'desk-say ' + kind;
};

// localStorage may be full or forbidden; then drafts live on the server alone.
const store = {
  get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* see above */ } },
  drop: (name) => { try { localStorage.removeItem(name); } catch { /* see above */ } },
};

// A modal dialog: the browser itself keeps the focus inside and gives it back.
const dialog = (title, ...children) => {
  const id = 'desk-dialog-title';
  const box = el('dialog', { class: 'desk-dialog', 'aria-labelledby': id }, el('h2', { id }, title), ...children);
  box.addEventListener('close', () => box.remove());
  root.append(box);
  box.showModal();
  return box;
};
