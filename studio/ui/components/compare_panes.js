// Buttons and keys of the panes. A key is its button's: what is on the screen says which keys there are.
const shown = () => element.isConnected && element.offsetParent !== null;
const typing = (node) => node?.closest?.('input, textarea, select, [contenteditable=true], [role=listbox], dialog');
let sent = '';

const send = (button) => {
  const token = element.querySelector('.compare')?.dataset.token || '';
  const { act, choice = '', place = '' } = button.dataset;
  if (['vote', 'pass', 'undo'].includes(act)) {
    if (sent === act + token) return;   // a second key before the answer to the first
    sent = act + token;
    setTimeout(() => { sent = ''; }, 4000);
  }
  trigger('act', { act, choice, place, token });
};
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-act]');
  if (button) send(button);
});

const onKey = (event) => {
  if (!element.isConnected) { document.removeEventListener('keydown', onKey); return; }
  if (!shown() || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
  if (typing(event.target)) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const button = [...element.querySelectorAll('button[data-key]')].find((one) => one.dataset.key === key);
  if (!button) return;
  event.preventDefault();
  send(button);
};
document.addEventListener('keydown', onKey);

// When there is something to vote on, the keys act at once: the focus leaves the question that was asked, unless
// somebody writes the next one already.
let voted = '', wrote = false;
document.addEventListener('input', (event) => { if (event.target.closest?.('#compare-prompt')) wrote = true; });
const onAsk = (event) => {
  if (!element.isConnected) { document.removeEventListener('keydown', onAsk); return; }
  if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey) || event.isComposing || event.defaultPrevented) return;
  const button = document.getElementById('compare-generate');
  if (!event.target.closest?.('#compare-prompt') || !button || button.disabled) return;
  event.preventDefault();   // both panes of the page listen: the first one asks
  wrote = false;
  button.click();
};
document.addEventListener('keydown', onAsk);
document.addEventListener('click', (event) => { if (event.target.closest?.('#compare-generate')) wrote = false; });
watch('value', () => {
  const compare = element.querySelector('.compare[data-votable]');
  if (!compare || compare.dataset.token === voted || !shown()) return;
  voted = compare.dataset.token;
  sent = '';
  const here = document.activeElement, inPrompt = here?.closest?.('#compare-prompt');
  if (typing(here) && !(inPrompt && !wrote)) return;
  element.querySelector('.votes')?.focus({ preventScroll: true });
});
