// The guide of a first visit: one line over the open tab, with the button that leads to the next step. Its words come with
// the badges, as text; what a click on the button does is the sidebar's (data-go).
(() => {
  const OVER = { sentence: tr('That is the loop: labeled, trained, compared. Home says what is next.'), button: tr('Home'), tab: 'home', run: '', part: 0 };
  let shown = '', led = '', over = '';
  const strip = () => document.querySelector('#guide .guide');
  const tab = () => document.querySelector('#tabs > .tab-wrapper [role=tab][aria-selected=true]')?.dataset.tabId || '';
  const hidden = (project) => { try { return localStorage.getItem('sft-guide') === project; } catch { return false; } };
  const hide = (project) => { try { localStorage.setItem('sft-guide', project); } catch { /* shown again next time */ } };
  const make = (tag, className, text) => Object.assign(document.createElement(tag), { className, textContent: text });

  const paint = (step, project) => {
    const node = strip(), next = JSON.stringify([step, project, tab()]);
    if (!node || next === shown) return;
    shown = next;
    node.hidden = !step;
    if (!step) { node.replaceChildren(); return; }
    const words = make('p', '', step.sentence);
    if (step.part) words.prepend(make('b', '', tr('Step {part} of {of}', { part: step.part, of: step.of })), ' ');
    const parts = [words];
    if (step.tab !== tab()) {
      const go = Object.assign(make('button', 'go', step.button), { type: 'button' });
      go.dataset.go = step.tab;
      if (step.run && step.tab === 'train') go.dataset.run = step.run;
      parts.push(go);
    }
    const away = Object.assign(make('button', 'away', '×'), { type: 'button', title: tr('Hide the guide') });
    away.setAttribute('aria-label', tr('Hide the guide'));
    away.addEventListener('click', () => { hide(project); over = ''; paint(null, project); });
    node.replaceChildren(...parts, away);
  };
  let last = null;
  const look = (detail) => {
    last = detail;
    const { guide, project } = detail;
    if (guide) { led = project; over = ''; } else if (led && led === project) { led = ''; over = project; }
    if (tab() === 'home') over = '';
    paint(hidden(project) || tab() === 'home' ? null : guide || (over && over === project ? OVER : null), project);
  };
  document.addEventListener('studio-look', (event) => look(event.detail));
  new MutationObserver(() => { if (last) look(last); }).observe(document.documentElement, { subtree: true, attributes: true, attributeFilter: ['aria-selected'] });
})();
