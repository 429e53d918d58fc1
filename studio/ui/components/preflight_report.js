const opened = new Map();
let last = '';

const section = (node) => node.closest('[data-finding]');
const chosen = (box) => [...box.querySelectorAll('input[data-row]:checked')].map((one) => one.dataset.row);

const count = (box) => {
  const bar = box?.querySelector('.pf-acts output');
  if (!bar) return;
  const ids = chosen(box);
  bar.textContent = ids.length ? tr('{count} chosen', { count: String(ids.length) }) : bar.dataset.all;
  bar.classList.toggle('on', ids.length > 0);
};

element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (!button) return;
  const { act, key, page, row, number } = button.dataset;
  const box = section(button);
  last = key || '';
  const said = { act, finding: Number(box?.dataset.finding ?? -1), page: Number(page || 1), row: row || '', number: Number(number || 0) };
  if (box && button.closest('.pf-acts')) said.ids = chosen(box);
  if (act === 'save') {
    const area = button.closest('.pf-edit').querySelector('textarea');
    Object.assign(said, { field: area.dataset.field, hash: area.dataset.hash, text: area.value });
  }
  trigger('act', said);
});

element.addEventListener('change', (event) => {
  if (event.target.matches('input[data-row]')) count(section(event.target));
});

element.addEventListener('toggle', (event) => {
  if (event.target.matches('details[data-fold]')) opened.set(event.target.dataset.fold, event.target.open);
}, true);

// A new value is new markup: what was unfolded stays so, and the focus stays where it was.
watch('value', () => {
  for (const fold of element.querySelectorAll('details[data-fold]')) {
    if (opened.has(fold.dataset.fold)) fold.open = opened.get(fold.dataset.fold);
  }
  const field = element.querySelector('.pf-edit textarea');
  const back = field || (last && element.querySelector(`[data-key="${CSS.escape(last)}"]`));
  if (back) back.focus({ preventScroll: !field });
  last = '';
});
