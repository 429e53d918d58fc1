// Two answers side by side: A, B or a tie. Where the project asks for a margin or a reason, the key only chooses.

const CHOICES = ['A', 'B', 'tie'];
const MARGINS = [tr('slightly better'), tr('clearly better'), tr('much better')];

const preferenceForm = () => {
  const asks = task.ask_margin || task.ask_reason;
  let choice = '', margin = null, held = false;
  const answers = ['a', 'b'].map((side, index) => {
    const words = el('p', { dir: 'auto' });
    const pick = el('button', { type: 'button', role: 'radio', 'aria-checked': 'false', class: 'choice pick', 'data-shortcut': 'choose' + (index + 1), 'aria-keyshortcuts': ariaKey('choose' + (index + 1)), onclick: () => choose(index) },
      el('span', { class: 'words' }, tr('{answer} is better', { answer: CHOICES[index] })), kbd('choose' + (index + 1)));
    const name = tr('Answer {answer}', { answer: CHOICES[index] });
    return { side, words, pick, node: el('article', { class: 'desk-answer', 'aria-label': name }, el('span', { class: 'who' }, name), words) };
  });
  const tie = el('button', { type: 'button', role: 'radio', 'aria-checked': 'false', class: 'choice pick', 'data-shortcut': 'choose10', 'aria-keyshortcuts': ariaKey('choose10'), onclick: () => choose(2) },
    el('span', { class: 'words' }, tr('Tie')), kbd('choose10'));
  const picks = [answers[0].pick, tie, answers[1].pick];
  const group = el('div', { class: 'desk-picks', role: 'radiogroup', 'aria-labelledby': 'choices-label' }, picks);
  group.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    picks[(picks.indexOf(document.activeElement) + step + 3) % 3].focus();
  });
  const margins = task.ask_margin ? choices({ id: 'margin-label', items: MARGINS.map((words) => ({ words })), onchoose: (index) => { if (!held) { margin = index + 1; show(); typed(); } } }) : null;
  // Digits choose the answer, so the margins show no key of theirs.
  margins?.nodes.forEach((node) => { node.querySelector('kbd')?.remove(); node.removeAttribute('data-shortcut'); node.removeAttribute('aria-keyshortcuts'); });
  margins?.group.classList.add('rating');
  const reason = task.ask_reason ? el('textarea', { id: 'reason-field', rows: 2, dir: 'auto', oninput: typed }) : null;
  const marginBox = margins ? el('div', { class: 'desk-margin' }, el('span', { class: 'label', id: 'margin-label' }, tr('By how much (optional)')), margins.group) : null;
  const show = () => {
    for (const [index, pick] of [answers[0].pick, answers[1].pick, tie].entries()) {
      const on = CHOICES[index] === choice;
      pick.setAttribute('aria-checked', String(on));
      pick.tabIndex = on || (!choice && index === 0) ? 0 : -1;
    }
    answers.forEach((answer, index) => answer.node.classList.toggle('chosen', CHOICES[index] === choice));
    margins?.mark(new Set(margin ? [margin - 1] : []));
    if (marginBox) marginBox.hidden = choice === 'tie';
  };
  const choose = (index) => {
    if (held || (index > 2 && index !== 9)) return;
    choice = CHOICES[Math.min(index, 2)];
    if (choice === 'tie') margin = null;
    show();
    if (!asks) { act('submit'); return; }
    if (group.contains(document.activeElement)) picks.find((pick) => pick.tabIndex === 0).focus();
    typed();
  };
  return {
    node: el('div', {}, el('div', { class: 'desk-answers' }, answers.map(({ node }) => node)),
      heading(el('span', { class: 'label', id: 'choices-label' }, tr('Which answer is better?')), ''), group, marginBox,
      reason ? el('div', { class: 'desk-margin' }, el('label', { for: 'reason-field' }, tr('Reason (optional)')), reason) : null),
    layout: 'stack',
    choose: (index) => { if (index !== 2) choose(index); }, // the third digit names no answer
    show: (card) => answers.forEach(({ side, words }) => set(words, card.payload?.[side] || '')),
    write: ({ response, value }) => {
      let parsed = {};
      try { parsed = JSON.parse(value || '{}'); } catch { /* an answer without one */ }
      choice = CHOICES.includes(response) ? response : parsed.choice || '';
      margin = parsed.margin || null;
      if (reason) reason.value = parsed.reason || '';
      show();
    },
    read: () => ({ response: choice, value: choice || reason?.value ? JSON.stringify({ choice, margin, reason: reason ? reason.value.trim() : '' }) : '' }),
    problem: ({ response }) => (response ? '' : canSkip ? tr('Choose A, B or a tie first, or skip this one.') : tr('Choose A, B or a tie first.')),
    suggest: (response) => [answers[0].pick, answers[1].pick, tie].forEach((pick, index) => pick.classList.toggle('suggested', CHOICES[index] === response)),
    focus: () => (picks.find((pick) => pick.getAttribute('aria-checked') === 'true') || picks[0]).focus({ preventScroll: true }),
    hold: (now) => { held = now; if (reason) reason.readOnly = now; },
  };
};
