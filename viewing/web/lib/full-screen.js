// This module handles full screen: of one tile, and of the whole wall without its bars (kiosk). Where a browser has no
// full screen (iPhone: videos only), the kiosk fills the window.

const POINTER_RESTS_MS = 3000;
const root = document.documentElement;

/** @type {Timer | undefined} */
let resting;
let windowed = false; // The kiosk fills the window, not the screen.
/** @type {(kiosk: boolean) => void} */
let report = () => {};

/** @param {Element} element */
export const isFullScreen = (element) => document.fullscreenElement === element;
export const isKiosk = () => 'kiosk' in root.dataset;

/**
 * @param {Element} element
 * @param {HTMLVideoElement} video fills the screen where only videos can
 */
export function enterFullScreen(element, video) {
  if (element.requestFullscreen) ignoreRefusal(element.requestFullscreen());
  else if (video.checkVisibility()) video.webkitEnterFullscreen?.();
}

export function leaveFullScreen() {
  if (document.fullscreenElement) ignoreRefusal(document.exitFullscreen());
}

/**
 * Calls `listener(kiosk)` when the kiosk begins or ends. There is one listener.
 * @param {(kiosk: boolean) => void} listener
 */
export function onKiosk(listener) {
  report = listener;
}

/**
 * Starts or ends the kiosk; `window` leaves the browser's window as it is.
 * @param {boolean} on
 * @param {{ window?: boolean }} [options]
 */
export function setKiosk(on, { window: inWindow = false } = {}) {
  if (on === isKiosk()) return;
  if (on) root.dataset.kiosk = '';
  else delete root.dataset.kiosk;
  windowed = on && inWindow;
  if (on && !inWindow && root.requestFullscreen) ignoreRefusal(root.requestFullscreen());
  if (!on) leaveFullScreen();
  restartPointerTimer();
  report(on);
}

/**
 * A browser may refuse full screen without a recent click or key; the page stays as it is then.
 * @param {Promise<void>} request
 */
function ignoreRefusal(request) {
  request.catch(() => {});
}

// Escape leaves full screen; this event is the only sign of it.
document.addEventListener('fullscreenchange', () => {
  restartPointerTimer();
  if (!document.fullscreenElement && isKiosk() && !windowed) setKiosk(false);
});

const fillsTheScreen = () => isKiosk() || document.fullscreenElement !== null;

// A pointer that rests over pictures is hidden, and so are the controls that it uncovers.
function restartPointerTimer() {
  clearTimeout(resting);
  delete root.dataset.pointerRests;
  if (fillsTheScreen()) resting = setTimeout(() => { root.dataset.pointerRests = ''; }, POINTER_RESTS_MS);
}

for (const type of ['pointermove', 'pointerdown', 'keydown']) {
  addEventListener(type, () => { if (fillsTheScreen()) restartPointerTimer(); }, { passive: true });
}
