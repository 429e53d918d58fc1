// What happens: load, act, undo, and the keys that start them.

let shownAt = 0, loads = 0, leftProject = '', scrolled = false;
let opened = ''; // the example that was opened on purpose: a refresh, however late it comes, leaves it in hand
const SAID = { submit: tr('Saved.'), skip: tr('Skipped.'), flag: tr('Flagged.') };

// Put the page's parts in place for what is to be shown now.
const paint = () => {
  const home = element.querySelector('.desk');
  if (!root || !root.isConnected) { if (home && home !== root) root = home; else element.append(root ||= el('div', { class: 'desk' })); }
  if (!root.firstChild) { root.tabIndex = -1; root.append(topRow, bar, el('div', { class: 'desk-body' }), historyStrip); }
  root.dataset.project = project;
  root.dataset.example = desk?.card?.id || '';
  const body = root.querySelector('.desk-body');
  topRow.hidden = historyStrip.hidden = !desk;
  if (desk) { paintTop(); paintHistory(); }
  if (desk && view === 'bulk') { showIn(body, bulkNode(), bulkNode().querySelector('.desk-line')); paintFrameState(); return; }
  if (!desk?.card) {
    showIn(body, emptyState(), null, true);
    if (desk) paintFrameState();
    markDraft('');
    return;
  }
  if (!frame || frame.shape !== shapeOf()) frame = makeFrame();
  showIn(body, frame.node, frame.line);
  paintCard();
  paintFrameState();
};
const showIn = (body, node, line, always = false) => {
  if (always || body.firstChild !== node) body.replaceChildren(node);
  const place = line || body;
  if (sayLine.parentNode !== place) place.prepend(sayLine);
  if (!line) body.append(sayLine);
};

const sameCard = (a, b) => Boolean(a && b) && JSON.stringify({ ...a, lease_until: null }) === JSON.stringify({ ...b, lease_until: null });

const show = (next, { refresh = false } = {}) => {
  const inHand = desk?.card, sameProject = desk && root.dataset.project === project;
  if (next.task) {
    if (JSON.stringify(task) !== JSON.stringify(next.task)) bulkParts = null;
    task = next.task;
    user = next.user || user;
  }
  // The card in hand stays while somebody works on it, with the revision that the work began from; and where nothing
  // about it is new.
  const inUse = () => touched > 0 || form.inUse?.() || sameCard(inHand, next.card);
  const keep = refresh && sameProject && view === 'focus' && inHand && frame?.shape === shapeOf() && inUse();
  if (keep) {
    const anew = next.card?.id === inHand.id ? next.card : inHand;
    desk = { ...next, card: { ...anew, revision: inHand.revision } };
    paintTop();
    paintHistory();
    paintFrameState();
    paintLease();
    return;
  }
  const had = root.contains(document.activeElement) && refresh && inHand?.id === next.card?.id;
  desk = next;
  paint();
  if (view === 'focus' && desk.card) {
    shownAt = performance.now();
    if (scrolled && !refresh) { scrolled = false; if (root.getBoundingClientRect().top < 0) root.scrollIntoView(); }
    if (!had && !(refresh && matchMedia('(pointer: coarse)').matches)) takeFocus();
  }
};

const load = async ({ wanted = '', back = false } = {}) => {
  if (!project) { desk = null; paint(); return; }
  if (busy) return;
  const turn = ++loads, at = project;
  if (back) store.drop(atName());
  if (wanted || back) opened = wanted;
  const inHand = root.dataset.project === project && desk?.card && touched > 0 ? desk.card.id : '';
  const remembered = wanted || back ? '' : opened || inHand || store.get(atName()) || '';
  const id = wanted || remembered;
  try {
    flushDraft();
    const next = await look('desk?project=' + encodeURIComponent(at) + (id ? '&example=' + encodeURIComponent(id) : ''));
    if (turn !== loads || busy || at !== project) return;
    connected();
    show(next, { refresh: !wanted && !back });
    if (view === 'bulk') loadBulk();
  } catch (error) {
    if (turn !== loads) return;
    if (error.status === 404 && remembered) { touched = sent = 0; load({ back: true }); return; }
    if (!error.told) disconnected();
    say(error.told ? error.message : tr('No connection to the studio: what is here stays, and it tries again by itself.'), 'bad');
  }
};

const act = (action, given = null, extra = {}) => {
  if (busy || view !== 'focus' || !desk?.card) return;
  const { card } = desk;
  if (action === 'skip' && card.status !== 'todo') { leaveCard(); return; } // it was only looked at: its answer stands
  const modelText = !touched && !card.draft && !card.answer && untouchedSuggestion();
  const answer = given || (action !== 'submit' && modelText ? NOTHING : form.read());
  const problem = action === 'submit' ? form.problem(answer) : '';
  if (problem) { say(problem, 'bad'); form.focus(); return; }
  const seconds = Math.min(86400, (performance.now() - shownAt) / 1000);
  send({ example: card.id, action, ...normal(answer), seconds, base: card.revision ?? null, suggestion: card.suggestion?.id ?? null, ...extra });
};
const leaveCard = () => {
  flushDraft();
  touched = sent = 0;
  load({ back: true });
};
const hold = (held) => { busy = held; form?.hold(held); };

const send = async (body, at = project) => {
  hold(true);
  loads += 1; // what a look began before this act says is old
  pending = null;
  clearTimeout(draftTimer);
  draftTimer = 0;
  say('');
  try {
    const next = await write('act', body);
    forget(body.example);
    touched = sent = 0;
    opened = '';
    connected();
    if (at !== project) return;
    show(next);
    say(SAID[body.action], 'good');
  } catch (error) {
    notSent(body, error, at);
  } finally {
    hold(false);
    if (at !== project) load();
  }
};
const notSent = (body, error, at) => {
  if (error.conflict && at === project) { clash(body, error); return; }
  if (error.told) {
    say(error.message, 'bad');
    if (touched !== sent) draftTimer = setTimeout(keepDraft, DEBOUNCE);
    if (task.labels.length) setTimeout(load); // the labels may have been renamed meanwhile
    return;
  }
  pending = { body, at };
  if (body.action === 'submit') { store.set(draftName(body.example), JSON.stringify(normal(body))); store.set(atName(), body.example); touched ||= 1; }
  disconnected();
  say(tr('Not saved yet: no connection to the studio. Your text is kept and sent by itself.'), 'bad');
};

// Somebody, or I myself elsewhere, saved another answer meanwhile. Mine stays a draft until one is chosen.
const clash = (body, { conflict, message }) => {
  const mine = normal(body), theirs = { ...conflict.theirs, ...normal(conflict.theirs) };
  if (sameAnswer(mine, theirs)) { // an act that had arrived, though its answer was lost
    forget(body.example);
    touched = sent = 0;
    hold(false);
    load({ back: true }).then(() => say(tr('Saved.'), 'good'));
    return;
  }
  if (desk.card?.id !== body.example) { // it waited for the connection, and another card is in hand
    hold(false);
    load({ wanted: body.example }).then(() => say(message, 'bad'));
    return;
  }
  desk.card.revision = theirs.id;
  hold(false);
  typed();
  frame.clash.replaceChildren(conflictPanel({
    mine, theirs, message,
    onmine: () => { form.write(mine); act('submit', mine); },
    ontheirs: () => keepTheirs(body.example, theirs),
    onmerge: () => form.focus(),
  }));
  say(tr('Not saved: choose which version stays.'), 'bad');
  frame.clash.querySelector('button').focus();
};
const keepTheirs = async (id, theirs) => {
  clearTimeout(draftTimer);
  draftTimer = 0;
  try { await write('draft', { example: id, ...normal(theirs) }); } catch (error) { say(error.message, 'bad'); return; }
  forget(id);
  touched = sent = 0;
  await load({ back: true });
  say(tr('Their version stays.'), 'good');
};

const undo = async () => {
  if (busy || !project || !desk) return;
  flushDraft();
  hold(true);
  loads += 1;
  say('');
  try {
    const next = await write('undo', { project });
    connected();
    if (next.taken_back) { touched = sent = 0; opened = ''; }
    show(next, { refresh: !next.taken_back });
    say(next.taken_back ? tr('Taken back: edit it and submit again.') : tr('Nothing left to undo.'));
    if (view === 'bulk') loadBulk();
  } catch (error) {
    if (!error.told) disconnected();
    say(error.told ? error.message : tr('No connection to the studio: nothing was taken back. Try again.'), 'bad');
  } finally { hold(false); }
};

const accept = () => {
  const given = desk?.card?.suggestion;
  if (view === 'bulk') { bulkAct('accept'); return; }
  if (!given || busy) { if (!given) say(tr('There is no suggestion to accept here.')); return; }
  if (touched && !form.suggest && !untouchedSuggestion()) { say(tr('You changed the draft: submit yours, or restore the draft first.'), 'bad'); return; }
  form.write(normal(given));
  act('submit', normal(given));
};

const run = (name) => {
  if (view === 'bulk' && ['skip', 'flag'].includes(name)) { bulkAct(name); return; }
  if (['submit', 'skip', 'flag'].includes(name)) act(name);
  else if (name === 'undo') undo();
  else if (name === 'accept') accept();
  else if (name === 'help') showHelp();
  else if (name === 'guidelines') toggleGuidelines();
  else if (name === 'view') setView(view === 'focus' ? 'bulk' : 'focus');
  else if (name === 'similar') { if (desk?.card) findSimilar(desk.card); }
  else if (name === 'previous') { if (desk?.history?.length) load({ wanted: desk.history[0].example }); }
  else if (name.startsWith('choose')) { if (view === 'bulk') bulkChoose(Number(name.slice(6)) - 1); else if (desk?.card) form.choose?.(Number(name.slice(6)) - 1); }
  else if (view === 'focus' && desk?.card && !busy) form.chat?.[name]?.();
};

// Listens on the document, so that the keys act wherever the focus is; only while the form is on screen.
const onKey = (event) => {
  if (!element.isConnected) { document.removeEventListener('keydown', onKey); return; }
  lastActive = Date.now();
  if (event.isComposing || event.defaultPrevented) return;
  const active = document.activeElement, writing = writesText(active), inside = element.contains(active);
  if (writing && !inside) return;
  if (event.key === 'Escape' && writing && !event.ctrlKey && !event.altKey && !root.querySelector('dialog[open]')) { root.focus({ preventScroll: true }); return; }
  const key = keyOf(event), plain = isPlain(key);
  if (plain && (writing || !(inside || active === document.body))) return;
  const name = actionOf(key);
  const begins = !name && !writing && form?.find && view === 'focus' && desk?.card && /^[a-z]$/i.test(event.key) && plain;
  if ((!name && !begins) || element.offsetParent === null || root.querySelector('dialog[open]')) return;
  if (begins) { form.find(); return; }
  event.preventDefault();
  if (!event.repeat) run(name);
};
document.addEventListener('keydown', onKey);

// Leases: renewed while somebody works, given back when the form is left.
let lastActive = Date.now();
document.addEventListener('pointerdown', () => { lastActive = Date.now(); }, { passive: true });
document.addEventListener('scroll', () => { scrolled = true; }, { passive: true });
const leave = (id) => { if (id && leftProject !== id) { leftProject = id; beacon('leave', { project: id }); } };
const beat = setInterval(async () => {
  if (!element.isConnected) { clearInterval(beat); return; }
  if (!project || !desk || offline || element.offsetParent === null || Date.now() - lastActive > 300000) return;
  try {
    const { lease_until: until } = await ask('renew', { project });
    if (until && desk?.card && desk.card.lease_until) desk.card.lease_until = until;
  } catch { /* the line below says so when it ran out */ }
}, 60000);
const lookAgain = setInterval(() => {
  if (!element.isConnected) { clearInterval(lookAgain); return; }
  if (element.offsetParent === null) return;
  paintLease();
  if (project && desk && !desk.card && view === 'focus' && !busy && !offline && emptyWords()[2]) load();
}, 15000);
new IntersectionObserver(() => {
  if (element.isConnected && element.offsetParent === null && project) { flushDraft(); chain.catch(() => {}).then(() => { if (element.offsetParent === null) leave(project); }); }
}).observe(element);
window.addEventListener('pagehide', () => {
  if (!element.isConnected) return;
  if (desk?.card && form && touched !== sent) beacon('draft', { example: desk.card.id, ...form.read() });
  leave(project);
});
window.addEventListener('pageshow', (event) => { if (event.persisted) { leftProject = ''; load(); } });

const follow = () => {
  const [chosen, wanted] = (props.value || '').split('#');
  if (chosen !== project) {
    flushDraft();
    leave(project);
    project = chosen;
    desk = null;
    opened = '';
    touched = sent = 0;
    clearHistory();
    resetBulk();
    say('');
    paint();
  }
  leftProject = '';
  if (wanted) view = 'focus';
  load({ wanted: wanted || '' });
};
watch('value', follow);
startGuidelines();
loadKeys();
follow();
