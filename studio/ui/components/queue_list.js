// A button that loses something asks once more in its own place, and only the second click counts. The list is drawn anew
// every few seconds, so what was asked is kept beside it.
let asked = '';
const key = (button) => `${button.dataset.act} ${button.dataset.id}`;
const dress = () => {
  for (const button of element.querySelectorAll('button[data-sure]')) {
    const armed = key(button) === asked;
    if (armed === button.hasAttribute('data-asked')) continue;
    button.dataset.words ||= button.textContent;
    button.toggleAttribute('data-asked', armed);
    button.textContent = armed ? button.dataset.sure : button.dataset.words;
  }
};
new MutationObserver(dress).observe(element, { childList: true, subtree: true });
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-act]');
  if (!button || button.disabled) return;
  if (button.dataset.sure && key(button) !== asked) {
    const mine = asked = key(button);
    dress();
    setTimeout(() => { if (asked === mine) { asked = ''; dress(); } }, 4000);
    return;
  }
  asked = '';
  trigger('act', { act: button.dataset.act, id: button.dataset.id });
  button.disabled = true;  // until the list is shown anew
  setTimeout(() => { button.disabled = false; }, 2000);
});
