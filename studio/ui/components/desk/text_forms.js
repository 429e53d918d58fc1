// A form is {node, layout, write(answer), read(), problem(answer), focus(), hold(held)}, and for choices
// choose(index), suggest(response) and inUse(): whether something is under way that is no edit yet. Answers are
// {response, value}.

const NOTHING = { response: '', value: '' };
const KINDS = {
  'instruction': () => textForm({ rows: 9 }),
  'question-answering': () => textForm({ rows: 7 }),
  'summarisation': () => textForm({ rows: 9 }),
  'translation': () => textForm({ rows: 9, tag: task.target_language && tr('in {language}', { language: task.target_language }) }),
  'code': () => textForm({ rows: 16, code: true, tag: task.code_language }),
  'classification': () => labelForm(false),
  'multi-label': () => labelForm(true),
  'rating': () => ratingForm(),
  'preference': () => preferenceForm(),
  'chat': () => chatForm(),
};
const makeForm = () => (KINDS[task.kind] || KINDS.instruction)();

// The heading of a form: its label, a tag beside it, and whether the draft is saved.
const heading = (label, tag) => el('div', { class: 'desk-heading' }, label, tag ? el('span', { class: 'chip' }, tag) : null,
  el('span', { class: 'grow' }), el('span', { class: 'desk-tick' }));

const textForm = ({ rows, code = false, tag = '' }) => {
  const area = el('textarea', {
    id: 'response-field', rows, dir: code ? 'ltr' : 'auto', class: code ? 'code' : null, oninput: typed,
    spellcheck: code ? 'false' : 'true', autocapitalize: code ? 'off' : null, autocorrect: code ? 'off' : null,
    'data-shortcut': 'submit', 'aria-keyshortcuts': ariaKey('submit'), 'aria-describedby': code ? 'code-hint' : null,
  });
  if (code) indents(area);
  return {
    node: el('div', {}, heading(el('label', { for: 'response-field' }, tr('Response')), tag), area,
      code ? el('p', { class: 'quiet', id: 'code-hint' }, tr('Tab indents. Esc, then Tab, leaves the field.')) : null),
    layout: 'split',
    write: ({ response }) => { area.value = response; area.scrollTop = 0; },
    read: () => ({ response: area.value, value: '' }),
    problem: ({ response }) => (response.trim() ? '' : canSkip ? tr('Write a response first, or skip this one.') : tr('Write a response first.')),
    focus: () => area.focus({ preventScroll: true }),
    hold: (held) => { area.readOnly = held; },
  };
};

// Tab and Shift+Tab indent by four columns, Enter keeps the indentation; after Escape, Tab leaves the field.
const indents = (area) => {
  let leaving = false;
  // execCommand, because it is what keeps the browser's own undo whole.
  const put = (words) => { if (!document.execCommand('insertText', false, words)) { area.setRangeText(words, area.selectionStart, area.selectionEnd, 'end'); typed(); } };
  area.addEventListener('blur', () => { leaving = false; });
  area.addEventListener('keydown', (event) => {
    if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === 'Escape') { if (!leaving) event.stopPropagation(); leaving = true; return; }
    if (event.key === 'Tab' && !leaving && !area.readOnly) {
      event.preventDefault();
      indentLines(area, event.shiftKey, put);
    } else if (event.key === 'Enter' && !event.shiftKey && !area.readOnly) {
      const line = area.value.slice(area.value.lastIndexOf('\n', area.selectionStart - 1) + 1, area.selectionStart);
      const indent = /^[ \t]*/.exec(line)[0];
      if (indent) { event.preventDefault(); put('\n' + indent); }
    }
    if (event.key !== 'Tab' && event.key !== 'Shift') leaving = false;
  });
};
const indentLines = (area, back, put) => {
  const { selectionStart: from, selectionEnd: to, value } = area;
  const start = value.lastIndexOf('\n', from - 1) + 1;
  if (!back && from === to) { put(' '.repeat(4 - ((from - start) % 4))); return; }
  const lines = value.slice(start, to).split('\n');
  const moved = lines.map((line) => (back ? line.replace(/^( {1,4}|\t)/, '') : '    ' + line)).join('\n');
  if (moved === lines.join('\n')) return;
  area.setSelectionRange(start, to);
  put(moved);
  if (from !== to) area.setSelectionRange(start, start + moved.length);
};
