const chosen = () => [...element.querySelectorAll('input[data-row]:checked')].map((box) => box.dataset.row);

const count = () => {
  const bar = element.querySelector('.mon-acts');
  if (!bar) return;
  const ids = chosen();
  bar.querySelector('output').textContent = ids.length ? tr('{count} chosen', { count: String(ids.length) }) : tr('None chosen');
  bar.querySelector('button').disabled = ids.length === 0;
  for (const group of element.querySelectorAll('div[data-reason]')) {
    const boxes = [...group.querySelectorAll('input[data-row]')];
    const on = boxes.filter((box) => box.checked).length;
    const all = group.querySelector('input[data-all]');
    all.checked = on === boxes.length;
    all.indeterminate = on > 0 && on < boxes.length;
  }
};

element.addEventListener('change', (event) => {
  const box = event.target;
  if (box.matches('input[data-all]')) {
    box.closest('[data-reason]').querySelectorAll('input[data-row]').forEach((one) => { one.checked = box.checked; });
  }
  count();
});

element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-take]');
  if (!button || button.disabled) return;
  trigger('take', { ids: chosen() });
  button.disabled = true;  // a second click while the first is at work would say that nothing was taken
  setTimeout(count, 1500);
});

// Other rows in the same places: what was chosen there is not chosen any more.
watch('value', () => {
  element.querySelectorAll('input[type=checkbox]').forEach((box) => { box.checked = false; });
  count();
});
