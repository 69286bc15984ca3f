// Knows which elements a person can see now. Leaving takes a moment to count (scrolling past, switching tabs for a
// second), coming back counts at once.

const SCROLLED_AWAY_MS = 2000;
const HIDDEN_PAGE_MS = 10000;

const watched = new Map(); // element -> {near, timer, tell, seen}
let pageSeen = !document.hidden;
let pageTimer = null;

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const one = watched.get(target);
    if (!one) continue;
    clearTimeout(one.timer);
    if (isIntersecting) settle(one, true);
    else one.timer = setTimeout(settle, SCROLLED_AWAY_MS, one, false);
  }
}, { rootMargin: '120px' });

function settle(one, near) {
  one.near = near;
  const seen = near && pageSeen;
  if (seen === one.seen) return;
  one.seen = seen;
  one.tell(seen);
}

function setPageSeen(seen) {
  clearTimeout(pageTimer);
  pageSeen = seen;
  for (const one of watched.values()) settle(one, one.near);
}

document.addEventListener('visibilitychange', () => {
  clearTimeout(pageTimer);
  if (document.hidden) pageTimer = setTimeout(setPageSeen, HIDDEN_PAGE_MS, false);
  else setPageSeen(true);
});
addEventListener('pagehide', () => setPageSeen(false)); // into the back/forward cache: no open sockets there
addEventListener('pageshow', () => setPageSeen(!document.hidden));

/** Calls `tell(true | false)` whenever `element` comes into sight or has left it. */
export function watchSight(element, tell) {
  watched.set(element, { near: false, seen: false, timer: null, tell });
  observer.observe(element);
}

export function unwatchSight(element) {
  clearTimeout(watched.get(element)?.timer);
  watched.delete(element);
  observer.unobserve(element);
}
