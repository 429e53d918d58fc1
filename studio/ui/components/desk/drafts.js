// What is being typed is never lost: kept in this browser at once, on the server 400 ms later, sent again when a
// connection is back. `touched` counts the edits of the card in hand; a refresh must not repaint a touched card.

const DEBOUNCE = 400, RETRY = 2000; // ms
let touched = 0, sent = 0, draftTimer = 0, retryTimer = 0;
let offline = false, pending = null; // {body, at}: an act that waits for the connection, and its project

const draftName = (id) => `sft-draft-${user ? user.name : ''}-${id}`;
const localDraft = (id) => {
  try { return JSON.parse(store.get(draftName(id))); } catch { return null; }
};
const forget = (id) => { store.drop(draftName(id)); if (store.get(atName()) === id) store.drop(atName()); };
const atName = () => `sft-at-${project}`;

const WORDS = { saving: tr('Saving draft…'), saved: tr('✓ Draft saved'), offline: tr('Draft kept in this browser'), '': '' };
const markDraft = (state) => {
  root.dataset.draft = state;
  const tick = root.querySelector('.desk-tick');
  if (tick) set(tick, WORDS[state]);
};

// What a form asks for may be skipped here; a reviewer, who uses the same forms, cannot.
const canSkip = true;

// Called by a form at each edit.
const typed = () => {
  if (!desk?.card) return;
  touched += 1;
  store.set(draftName(desk.card.id), JSON.stringify(form.read()));
  store.set(atName(), desk.card.id);
  if (pending) dropPending();
  if (sayLine.textContent) say('');
  if (root.dataset.draft !== 'saving') markDraft(offline ? 'offline' : 'saving');
  clearTimeout(draftTimer);
  draftTimer = setTimeout(keepDraft, DEBOUNCE);
  showSuggestionState();
};

// Sends the draft of the card in hand; resolves when the server has it or cannot be reached.
const keepDraft = async () => {
  clearTimeout(draftTimer);
  draftTimer = 0;
  const card = desk?.card;
  if (!card || !form || touched === sent) return;
  const answer = form.read(), text = JSON.stringify(answer), edits = touched, mine = draftName(card.id);
  try {
    await write('draft', { example: card.id, ...answer });
    if (store.get(mine) === text) store.drop(mine);
    connected();
    if (desk?.card?.id !== card.id) return;
    sent = Math.max(sent, edits);
    if (touched === edits) markDraft('saved');
  } catch (error) {
    if (!error.told) { disconnected(); return; }
    markDraft('offline');
    say(tr('{problem} Your text is kept in this browser.', { problem: error.message }), 'bad');
  }
};
// Before something replaces the card, what was typed is put in front of the requests that follow.
const flushDraft = () => { if (draftTimer || touched !== sent) keepDraft(); };

const barWords = el('span', {}), barStop = button(tr('Do not send it'), () => { dropPending(); say(tr('It was not sent. Your text is still here.')); });
const bar = el('div', { class: 'desk-offline', role: 'alert', hidden: true }, barWords, el('span', { class: 'grow' }), barStop, button(tr('Try now'), () => retry()));
const ACTS = { submit: tr('submit'), skip: tr('skip'), flag: tr('flag') };
const showBar = () => {
  bar.hidden = !offline;
  barStop.hidden = !pending;
  set(barWords, pending
    ? tr('No connection to the studio. Your {act} is not saved yet: it is sent by itself when the studio is back.', { act: ACTS[pending.body.action] })
    : tr('No connection to the studio. What you type is kept in this browser and saved when the studio is back.'));
};
const dropPending = () => { pending = null; if (offline) showBar(); };

const disconnected = () => {
  offline = true;
  if (touched !== sent || pending) markDraft('offline');
  showBar();
  clearTimeout(retryTimer);
  retryTimer = setTimeout(retry, RETRY);
};
const connected = () => {
  if (!offline) return;
  offline = false;
  clearTimeout(retryTimer);
  showBar();
  if (pending) { setTimeout(sendPending); return; } // any answer may be the first sign of life, a look at the desk too
  if (touched !== sent && !draftTimer) draftTimer = setTimeout(keepDraft);
  say(tr('Connected again: nothing was lost.'), 'good');
};
const sendPending = () => {
  if (!pending) return;
  if (busy) setTimeout(sendPending, DEBOUNCE); else send(pending.body, pending.at);
};
const retry = async () => {
  clearTimeout(retryTimer);
  if (!offline || !element.isConnected) return;
  if (busy) { retryTimer = setTimeout(retry, RETRY); return; }
  if (pending) { sendPending(); return; }
  if (touched !== sent) { await keepDraft(); return; }
  try { await ask('keys'); connected(); if (!desk) load(); } catch (error) { if (error.told) connected(); else disconnected(); }
};
window.addEventListener('online', retry);
