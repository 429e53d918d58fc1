// The sidebar around Gradio's own list of tabs: headings and badges beside it, the drawer of a narrow page, where one is
// (in the address), and what the browser's tab says. Nothing of Gradio's list is changed, and no event of it is sent but
// the click on a tab.
(() => {
  const GROUPS = { label: 'Label', review: 'Label', suggestions: 'Label', team: 'Label', data: 'Data', datasets: 'Data', preflight: 'Data', train: 'Train', evaluate: 'Judge', compare: 'Judge', deploy: 'Serve', monitor: 'Serve', people: 'Studio' };
  const HEADINGS = { Label: tr('Label'), Data: tr('Data'), Train: tr('Train'), Judge: tr('Judge'), Serve: tr('Serve'), Studio: tr('Studio') };
  const STATES = {
    waiting: tr('waiting'), starting: tr('starting'), loading: tr('loading'), training: tr('training'), evaluating: tr('evaluating'),
    sampling: tr('sampling'), ready: tr('ready'), stopping: tr('stopping'), paused: tr('paused'),
  };
  // What a tab has in hand: the name in the address, where it is read, and what is clicked to take it in hand.
  const IN_HAND = {
    label: ['example', '.desk[data-example]', (node) => node.dataset.example],
    train: ['run', '#train-columns .item.current[data-id]', (node) => node.dataset.id],
    evaluate: ['run', '#evaluate-columns .item.current[data-id^="run:"]', (node) => node.dataset.id.slice(4)],
    datasets: ['snapshot', '#datasets-columns .item.current[data-id]', (node) => node.dataset.id],
  };
  const CLICKED = { train: (id) => `#train-columns .item[data-id="${id}"]`, evaluate: (id) => `#evaluate-columns .item[data-id="run:${id}"]`, datasets: (id) => `#datasets-columns .item[data-id="${id}"]` };
  const PLACE = ['project', 'tab', 'example', 'run', 'snapshot'];
  const TITLE = 'SFT Studio';
  const FILLED_MS = 250;  // without a change
  const asked = () => new URLSearchParams(location.search);
  const page = document.documentElement;
  // Gradio hands over the stylesheet after its first picture of the page, which is not seen jumping to its new place.
  page.dataset.arriving = '';
  requestAnimationFrame(() => requestAnimationFrame(() => delete page.dataset.arriving));

  let list = null, overlay = null, project = '', projectAsked = '', arrived = false, moved = false, quiet = false, wantedItem = null;
  const tabs = () => [...list.querySelectorAll('[role=tab]')];
  const tabOf = (id) => list?.querySelector(`[role=tab][data-tab-id="${CSS.escape(id)}"]`);
  const current = () => list?.querySelector('[role=tab][aria-selected=true]')?.dataset.tabId || '';
  const make = (tag, className, text) => Object.assign(document.createElement(tag), { className, textContent: text || '' });

  // ---- The address
  const address = (values) => {
    const url = new URL(location.href);
    for (const name of PLACE) url.searchParams.delete(name);
    for (const [name, value] of Object.entries(values)) if (value) url.searchParams.set(name, value);
    return url.href;
  };
  const here = () => {
    const values = { project: project || asked().get('project'), tab: current() }, hand = IN_HAND[values.tab];
    const node = hand && [...document.querySelectorAll(hand[1])].find((one) => one.checkVisibility());
    if (node) values[hand[0]] = hand[2](node);
    else if (wantedItem?.tab === values.tab) values[wantedItem.name] = wantedItem.id;
    return values;
  };
  const write = (push) => {
    if (!arrived || !list) return;
    const next = address(here());
    if (next === location.href) return;
    history[push ? 'pushState' : 'replaceState'](null, '', next);
  };
  let soon = 0;
  const writeSoon = () => { soon ||= setTimeout(() => { soon = 0; takeItem(); write(false); }, 200); };

  // Once the page knows its project: open the tab that the address names. Until then its panels are not shown.
  const arrive = () => {
    if (arrived) return;
    const values = asked(), tab = values.get('tab');
    arrived = true;
    want(tab, values);
    if (!moved && tab && list && tabOf(tab) && tab !== current()) { quiet = true; tabOf(tab).click(); }
    showOnceFilled();
    writeSoon();
    look();
  };
  // A tab opened by its address is shown once it has been filled: nothing jumps under a reader's eyes. What it asked
  // for is answered over a stream that ends with the last answer, so a stream older than the last question is awaited.
  const showOnceFilled = () => {
    let asked = 0, answered = 0;
    const show = () => { watcher.disconnect(); wire?.disconnect(); clearTimeout(timer); delete page.dataset.going; };
    const soon = () => { clearTimeout(timer); timer = setTimeout(() => (answered < asked ? soon() : show()), FILLED_MS); };
    const watcher = new MutationObserver((changes) => {
      if (changes.some((change) => change.target.closest('.tabitem'))) soon();
    });
    let wire = null;
    try {
      wire = new PerformanceObserver((list) => {
        for (const { name, responseEnd } of list.getEntries()) {
          if (name.includes('/queue/join')) asked = Math.max(asked, responseEnd);
          if (name.includes('/queue/data')) answered = Math.max(answered, responseEnd);
        }
      });
      wire.observe({ type: 'resource', buffered: true });
    } catch { /* an old browser: a moment without a change has to do */ }
    let timer = setTimeout(show, 6 * FILLED_MS);
    watcher.observe(document.getElementById('tabs'), { subtree: true, childList: true });
    setTimeout(show, 14 * FILLED_MS);
  };
  const want = (tab, values) => {
    const name = CLICKED[tab] && IN_HAND[tab][0], id = name && values.get(name);
    wantedItem = id ? { tab, name, id, until: Date.now() + 15000 } : null;
  };
  const takeItem = () => {
    if (!wantedItem || wantedItem.tab !== current()) return;
    const node = document.querySelector(CLICKED[wantedItem.tab](CSS.escape(wantedItem.id)));
    if (node?.checkVisibility()) {
      if (!node.classList.contains('current')) node.click();
      wantedItem = null;
    } else if (Date.now() > wantedItem.until) wantedItem = null;
  };
  const goBack = () => {
    const values = asked(), tab = values.get('tab') || 'home';
    want(tab, values);
    if (values.get('project') && values.get('project') !== project) {
      projectAsked = values.get('project');
      document.getElementById('place-project')?.click();
    }
    if (tabOf(tab) && tab !== current()) { quiet = true; tabOf(tab).click(); }
  };
  const go = (tab, run) => {
    if (!tabOf(tab)) return;
    if (run) want(tab, new URLSearchParams({ run }));
    tabOf(tab).click();
    writeSoon();
    if (run) scrollTo(0, 0);
  };
  if (asked().get('tab')) {
    page.dataset.going = '';
    setTimeout(() => delete page.dataset.going, 6000);
  }
  window.studioPlace = {
    remembered: (last) => asked().get('project') || last || '',
    example: () => (asked().get('tab') === 'label' && asked().get('example')) || '',
    asked: () => projectAsked,
    project: (id) => {
      const before = project;
      project = id || '';
      const shown = document.querySelector('#project-switch input');
      if (shown) setTimeout(() => { shown.title = shown.value; }, 100);
      if (!arrived) { arrive(); return; }
      if (before !== project) { const back = projectAsked === project; projectAsked = ''; write(!back && Boolean(before)); look(); }
    },
    // Without a project nothing changes, so the open tab is not told to look.
    ready: () => setTimeout(() => {
      if (arrived || document.querySelector('#project-switch input')?.value) return;
      arrive();
      for (const button of document.querySelectorAll('.look')) if (button.parentElement.checkVisibility()) button.click();
    }, 300),
  };

  // ---- Headings and badges: beside the list, as its tabs' names must stay what they are
  let counts = {};
  const arrange = () => {
    overlay.replaceChildren();
    let group = '';
    for (const tab of tabs()) {
      const of = GROUPS[tab.dataset.tabId] || '';
      tab.toggleAttribute('data-first', of !== group);
      group = of;
    }
    group = '';
    for (const tab of tabs()) {
      const of = GROUPS[tab.dataset.tabId] || '', badge = counts[tab.dataset.tabId];
      if (of && of !== group) overlay.append(at(make('span', 'group', HEADINGS[of]), tab.offsetTop));
      group = of;
      if (badge) {
        overlay.append(at(make('span', `badge ${badge.kind || ''}`, badge.text), tab.offsetTop));
        tab.setAttribute('aria-description', badge.words);
      } else tab.removeAttribute('aria-description');
    }
  };
  const at = (node, top) => { node.style.top = `${top}px`; return node; };

  const short = (n) => (n > 9999 ? tr('{count}k', { count: String(Math.round(n / 1000)) }) : n.toLocaleString(window.studioWords.language));
  const paint = (found) => {
    const next = {};
    if (found.label) next.label = { text: short(found.label), words: tr('{count} to label', { count: String(found.label) }) };
    if (found.review) next.review = { text: short(found.review), words: tr('{count} to review', { count: String(found.review) }) };
    if (found.monitor) next.monitor = { text: short(found.monitor), kind: 'bad', words: trn('{count} alert', '{count} alerts', found.monitor) };
    const at_work = (found.runs || []).filter((run) => !run.ended && run.project === project);
    const run = at_work[at_work.length - 1];
    const state = run && (STATES[run.state] || run.state);
    if (run) next.train = { text: run.done ? `${Math.round(100 * run.done)} %` : state, kind: 'busy', words: tr('run {number} is {state}', { number: String(run.number), state }) };
    const changed = JSON.stringify(next) !== JSON.stringify(counts);
    counts = next;
    if (changed) arrange();
    return changed;
  };

  // ---- The browser's tab, and a notification where one was asked for
  const SIGNS = { done: '✓', failed: '✗', stopped: '■' };
  const endedWords = ({ number: count, state }) => {
    const number = String(count);
    if (state === 'done') return tr('Run {number} is done', { number });
    if (state === 'failed') return tr('Run {number} failed', { number });
    return state === 'stopped' ? tr('Run {number} has stopped', { number }) : tr('Run {number} has ended', { number });
  };
  const running = new Set();
  let told = [];
  const follow = (runs) => {
    for (const run of runs || []) {
      if (!run.ended) running.add(run.id);
      else if (running.delete(run.id)) {
        told.push(run);
        if (store('sft-notify') && window.Notification?.permission === 'granted' && document.hidden) {
          new Notification(endedWords(run), { body: run.name, tag: run.id });
        }
      }
    }
    const busy = (runs || []).filter((run) => !run.ended).pop(), over = told[told.length - 1];
    let title = TITLE;
    if (busy) title = `${busy.done ? `${Math.round(100 * busy.done)} %` : '…'} · ${tr('Run {number}', { number: String(busy.number) })} · ${TITLE}`;
    if (over) title = `${SIGNS[over.state] || ''} ${endedWords(over)} · ${TITLE}`;
    if (document.title !== title && (busy || over || / · SFT Studio$/.test(document.title))) document.title = title;
  };
  const seen = () => {
    if (document.hidden || !told.length || !['train', 'home', 'evaluate'].includes(current())) return;
    setTimeout(() => { if (!document.hidden) { told = []; follow(lastRuns); } }, 4000);
  };
  const store = (name, value) => {
    try { return value === undefined ? localStorage.getItem(name) : value ? localStorage.setItem(name, value) : localStorage.removeItem(name); } catch { return null; }
  };
  const paintBell = (runs) => {
    const bell = document.querySelector('#foot .bell');
    if (!bell) return;
    bell.hidden = !runs || !window.Notification || Notification.permission === 'denied';
    const on = Boolean(store('sft-notify')) && window.Notification?.permission === 'granted';
    bell.setAttribute('aria-pressed', String(on));
    bell.textContent = on ? tr('Tells you when a run ends') : tr('Tell me when a run ends');
  };
  const ring = async () => {
    if (store('sft-notify')) store('sft-notify', '');
    else if ((await Notification.requestPermission()) === 'granted') store('sft-notify', '1');
    paintBell(lastRuns);
  };

  // ---- Looking at the figures: seldom, and after what was done here
  let timer = 0, asking = false, stopped = false, lastAsked = 0, lastRuns = null, guided = false;
  const look = async () => {
    clearTimeout(timer);
    if (stopped || asking || !arrived) return;
    asking = true;
    lastAsked = Date.now();
    try {
      const answer = await fetch(`/api/look/badges?project=${encodeURIComponent(project)}`, { headers: { accept: 'application/json' } });
      if (answer.status === 401 || answer.status === 403) stopped = true;
      if (answer.ok) {
        const found = await answer.json();
        lastRuns = found.runs;
        guided = Boolean(found.guide);
        document.dispatchEvent(new CustomEvent('studio-look', { detail: { guide: found.guide, project } }));
        const changed = paint(found);
        follow(found.runs);
        paintBell(found.runs);
        seen();
        if (changed && current() === 'home') document.querySelector('.home')?.closest('[role=tabpanel]')?.querySelector('.look')?.click();
      }
    } catch { /* no connection: the next look comes */ }
    asking = false;
    timer = setTimeout(look, document.hidden ? 30000 : guided ? 2500 : running.size ? 5000 : 20000);
  };
  let after = 0;
  const lookAfter = () => { after ||= setTimeout(() => { after = 0; look(); }, Math.max(1200, 4000 - (Date.now() - lastAsked))); };
  const ACTS = /\/api\/(label\/(act|undo|bulk)|review\/)|\/gradio_api\/queue\/join/;
  try {
    new PerformanceObserver((seenNow) => { if (seenNow.getEntries().some((entry) => ACTS.test(entry.name))) lookAfter(); }).observe({ type: 'resource' });
  } catch { /* an old browser: looking seldom has to do */ }

  // ---- The drawer of a narrow page
  const drawer = (open) => {
    page.toggleAttribute('data-menu', open);
    const button = document.querySelector('#menu button');
    button?.setAttribute('aria-expanded', String(open));
    if (open) (list?.querySelector('[aria-selected=true]') || list)?.focus({ preventScroll: false });
  };
  const inDrawer = (node) => node.closest('#topbar, #foot, #tabs > .tab-wrapper, #menu, ul.options, .options');
  document.addEventListener('click', (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (!target) return;
    const goes = target.closest('[data-go]');
    if (goes) go(goes.dataset.go, goes.dataset.run);
    if (target.closest('#foot .bell')) ring();
    if (target.closest('#menu button')) drawer(!page.hasAttribute('data-menu'));
    else if (event.isTrusted && page.hasAttribute('data-menu') && (target.closest('[role=tab]') || !inDrawer(target))) drawer(false);
  }, true);
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && page.hasAttribute('data-menu')) { drawer(false); document.querySelector('#menu button')?.focus(); }
    const tab = event.target instanceof Element && event.target.closest('#tabs > .tab-wrapper [role=tab]');
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (tab && by) { event.preventDefault(); tabs()[(tabs().indexOf(tab) + by + tabs().length) % tabs().length].focus(); }
  });

  // ---- Beginning, once Gradio has made its list
  const onTab = () => {
    if (!arrived) { moved = true; delete page.dataset.going; }
    const node = document.querySelector('#menu .here');
    if (node) node.textContent = list.querySelector('[aria-selected=true]')?.textContent || '';
    write(!quiet);
    quiet = false;
    scrollTo(0, 0);
    seen();
    if (Date.now() - lastAsked > 3000) look();
  };
  const begin = (found) => {
    list = found;
    list.setAttribute('aria-orientation', 'vertical');
    overlay = make('div', 'beside-tabs');
    overlay.setAttribute('aria-hidden', 'true');
    list.parentNode.append(overlay);
    arrange();
    new ResizeObserver(arrange).observe(list);
    const foot = document.getElementById('foot');
    if (foot) new ResizeObserver(() => page.style.setProperty('--foot', `${foot.offsetHeight}px`)).observe(foot);
    let last = current();
    new MutationObserver(() => { if (current() && current() !== last) { last = current(); onTab(); } }).observe(list, { subtree: true, attributes: true, attributeFilter: ['aria-selected'] });
    new MutationObserver(writeSoon).observe(document.getElementById('tabs'), { subtree: true, childList: true, attributes: true, attributeFilter: ['class', 'data-example'] });
    const node = document.querySelector('#menu .here');
    if (node) node.textContent = list.querySelector('[aria-selected=true]')?.textContent || '';
  };
  const waiting = new MutationObserver(() => {
    const found = document.querySelector('#tabs > .tab-wrapper [role=tablist]');
    if (found) { waiting.disconnect(); begin(found); }
  });
  waiting.observe(page, { childList: true, subtree: true });
  addEventListener('popstate', goBack);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) { seen(); look(); } });
})();
