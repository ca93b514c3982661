/** The tab list of the header, after the ARIA tabs pattern: arrows move, the address remembers. */

/** @param {(view: string) => void} onShow called with the id of the section that is shown */
export function mountTabs(onShow) {
  const tabs = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[role=tab]'))];
  /** @returns {string} the id of its section */
  const viewOf = (tab) => tab.getAttribute('aria-controls');
  const show = (tab, focus = false) => {
    for (const other of tabs) {
      const chosen = other === tab;
      other.setAttribute('aria-selected', String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      /** @type {HTMLElement} */ (document.getElementById(viewOf(other))).hidden = !chosen;
    }
    if (focus) tab.focus();
    const view = viewOf(tab);
    history.replaceState(null, '', `${location.search}#${view}`);
    onShow(view);
  };
  tabs.forEach((tab, i) => {
    tab.addEventListener('click', () => show(tab));
    tab.addEventListener('keydown', ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (step) show(tabs.at((i + step) % tabs.length), true);
    });
  });
  const follow = () => {
    const wanted = tabs.find((tab) => `#${viewOf(tab)}` === location.hash);
    if (wanted) show(wanted);
  };
  addEventListener('hashchange', follow);
  follow();
}
