const chosen = () => [...element.querySelectorAll('input[data-row]:checked')].map((box) => box.dataset.row);
const shown = () => element.offsetParent !== null;
const typing = (node) => node.matches('input:not([type=checkbox]), textarea, select, [contenteditable=true]');

const count = () => {
  const ids = chosen();
  const bar = element.querySelector('.find-acts');
  if (!bar) return;
  bar.classList.toggle('on', ids.length > 0);
  bar.querySelector('output').textContent = ids.length ? tr('{count} chosen', { count: String(ids.length) }) : tr('None chosen');
  bar.querySelectorAll('button').forEach((button) => { button.disabled = ids.length === 0; });
  const all = element.querySelector('input[data-all]');
  const boxes = element.querySelectorAll('input[data-row]').length;
  if (all) {
    all.checked = boxes > 0 && ids.length === boxes;
    all.indeterminate = ids.length > 0 && ids.length < boxes;
  }
};

element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  const { id, story, similar, page, clear, act } = button.dataset;
  if (id) trigger('open', { id });
  else if (story) trigger('story', { id: story });
  else if (similar) trigger('similar', { id: similar });
  else if (page) trigger('turn', { page: Number(page) });
  else if (clear) trigger('clear', { field: clear });
  else if (act) {
    const priority = element.querySelector('.find-acts input')?.value ?? '';
    trigger('act', { what: act, ids: chosen(), priority });
  }
});

element.addEventListener('change', (event) => {
  if (event.target.matches('input[data-all]')) {
    element.querySelectorAll('input[data-row]').forEach((box) => { box.checked = event.target.checked; });
  }
  count();
});

// Up and down go from row to row; Enter is the button's own. H, S and Space act on the row that has the focus.
element.addEventListener('keydown', (event) => {
  const row = event.target.closest('tr[data-example]');
  if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
  const rows = [...element.querySelectorAll('tr[data-example]')];
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    event.preventDefault();
    rows[rows.indexOf(row) + step]?.querySelector('button[data-id]').focus();
  } else if (event.key === 'h') row.querySelector('button[data-story]').click();
  else if (event.key === 's') row.querySelector('button[data-similar]')?.click();
  else if (event.key === 'x') row.querySelector('input[data-row]').click();
});

// "/" puts the cursor into the search; down from there is the first row.
document.addEventListener('keydown', (event) => {
  if (!shown() || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = document.querySelector('#find-text input, #find-text textarea');
  if (event.key === '/' && search && !typing(event.target)) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === 'ArrowDown' && event.target === search) {
    event.preventDefault();
    element.querySelector('tr[data-example] button[data-id]')?.focus();
  }
});

// Other rows in the same places: what was chosen there is not chosen any more.
watch('value', () => {
  element.querySelectorAll('input[type=checkbox]').forEach((box) => { box.checked = false; });
  count();
});
