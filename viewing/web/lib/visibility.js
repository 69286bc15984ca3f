// This module reports which elements are on screen. An element that leaves counts as hidden after a moment (scrolling
// past, switching tabs for a second); one that returns counts as visible at once.

const SCROLLED_OUT_MS = 2000;
const HIDDEN_PAGE_MS = 10000;

/** @typedef {{ near: boolean, visible: boolean, timer: Timer | undefined, report: (visible: boolean) => void }} Watch */

/** @type {Map<Element, Watch>} Bounded by the elements that are watched: stages of tiles and of a camera's page. */
const watched = new Map();
let pageVisible = !document.hidden;
/** @type {Timer | undefined} */
let pageTimer;

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const watch = watched.get(target);
    if (!watch) continue;
    clearTimeout(watch.timer);
    if (isIntersecting) settle(watch, true);
    else watch.timer = setTimeout(settle, SCROLLED_OUT_MS, watch, false);
  }
}, { rootMargin: '120px' });

/**
 * @param {Watch} watch
 * @param {boolean} near
 */
function settle(watch, near) {
  watch.near = near;
  const visible = near && pageVisible;
  if (visible === watch.visible) return;
  watch.visible = visible;
  watch.report(visible);
}

/** @param {boolean} visible */
function setPageVisible(visible) {
  clearTimeout(pageTimer);
  pageVisible = visible;
  for (const watch of watched.values()) settle(watch, watch.near);
}

document.addEventListener('visibilitychange', () => {
  clearTimeout(pageTimer);
  if (document.hidden) pageTimer = setTimeout(setPageVisible, HIDDEN_PAGE_MS, false);
  else setPageVisible(true);
});
addEventListener('pagehide', () => setPageVisible(false)); // A page in the back/forward cache has no open sockets.
addEventListener('pageshow', () => setPageVisible(!document.hidden));

/**
 * Calls `report` whenever `element` becomes visible or has become hidden. It counts as hidden at first.
 * @param {Element} element
 * @param {(visible: boolean) => void} report
 */
export function watchVisibility(element, report) {
  watched.set(element, { near: false, visible: false, timer: undefined, report });
  observer.observe(element);
}

/** @param {Element} element */
export function unwatchVisibility(element) {
  clearTimeout(watched.get(element)?.timer);
  watched.delete(element);
  observer.unobserve(element);
}
