/** The tab list of the header, after the ARIA tabs pattern: arrows move, the address remembers. */

/** @param {(view: string) => void} onShow called with the id of the section that is shown */
export function mountTabs(onShow) {
  const tabs = [...document.querySelectorAll('[role=tab]')];
  const show = (tab, focus) => {
    for (const other of tabs) {
      const chosen = other === tab;
      other.setAttribute('aria-selected', chosen);
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(other.getAttribute('aria-controls')).hidden = !chosen;
    }
    if (focus) tab.focus();
    const view = tab.getAttribute('aria-controls');
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
    const wanted = tabs.find((tab) => `#${tab.getAttribute('aria-controls')}` === location.hash);
    if (wanted) show(wanted);
  };
  addEventListener('hashchange', follow);
  follow();
}
