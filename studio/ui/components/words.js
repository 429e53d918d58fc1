// What the page's scripts say, in the reader's language: tr('Left: {count}', { count: 3 }), and trn for one or many. The
// texts come before this (studio.ui.translated); an English sentence is its own key, and figures are written as the language
// writes them. Where somebody chooses another language, the page is loaded anew in it.
(() => {
  const { language, texts, cookie } = window.studioWords;
  const filled = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    return value === undefined ? whole : typeof value === 'number' ? value.toLocaleString(language) : value;
  });
  window.tr = (sentence, values = {}) => filled(texts[sentence] || sentence, values);
  window.trn = (one, many, count, values = {}) => {
    const forms = texts[one] || [one, many];
    return filled(forms[count === 1 ? 0 : forms.length - 1], { count, ...values });
  };
  document.documentElement.lang = language;
  document.addEventListener('change', (event) => {
    if (!event.target.closest?.('#language select')) return;
    document.cookie = `${cookie}=${event.target.value}; path=/; max-age=31536000; samesite=lax`;
    location.reload();
  });
  // Gradio draws the menu; which language is read is known here.
  new MutationObserver((_, watcher) => {
    const menu = document.querySelector('#language select');
    if (!menu) return;
    menu.value = language;
    watcher.disconnect();
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
