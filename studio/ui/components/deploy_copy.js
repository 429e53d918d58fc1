// Without a secure context (plain HTTP from another machine) there is no clipboard: the text is selected instead.
element.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const code = button.closest('.copied').querySelector('code');
  let said = tr('Copied');
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch (error) {
    getSelection().selectAllChildren(code);
    said = tr('Selected: press Ctrl+C');
  }
  const before = button.dataset.copy;
  button.textContent = said;
  setTimeout(() => { button.textContent = before; }, 2000);
});
