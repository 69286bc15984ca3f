// Knows full screen: of one tile, and of the whole wall with nothing around the pictures. Where a browser has no full
// screen (iPhone: videos only), the wall still takes the whole window.

const POINTER_RESTS_MS = 3000;
const root = document.documentElement;

let resting = null;
let windowed = false; // the kiosk look in a window of usual size
let tell = () => {};

export const isFullScreen = (element) => document.fullscreenElement === element;
export const isKiosk = () => 'kiosk' in root.dataset;

export function enterFullScreen(element, video) {
  if (element.requestFullscreen) element.requestFullscreen().catch(() => {});
  else if (video.checkVisibility()) video.webkitEnterFullscreen?.();
}

export function leaveFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
}

/** Calls `heard(kiosk)` when the wall begins or ends to fill the screen. */
export function onKiosk(heard) {
  tell = heard;
}

/** The wall without anything around it; `window` leaves the browser's window as it is. */
export function setKiosk(on, { window: inWindow = false } = {}) {
  if (on === isKiosk()) return;
  if (on) root.dataset.kiosk = '';
  else delete root.dataset.kiosk;
  windowed = on && inWindow;
  if (on && !inWindow) root.requestFullscreen?.().catch(() => {});
  if (!on) leaveFullScreen();
  rest();
  tell(on);
}

// Escape leaves full screen without telling anybody but this event.
document.addEventListener('fullscreenchange', () => {
  rest();
  if (!document.fullscreenElement && isKiosk() && !windowed) setKiosk(false);
});

const fillsTheScreen = () => isKiosk() || document.fullscreenElement;

// A pointer that rests over pictures is in their way, and so is what it uncovers.
function rest() {
  clearTimeout(resting);
  delete root.dataset.pointerRests;
  if (fillsTheScreen()) resting = setTimeout(() => { root.dataset.pointerRests = ''; }, POINTER_RESTS_MS);
}

for (const type of ['pointermove', 'pointerdown', 'keydown']) addEventListener(type, () => fillsTheScreen() && rest(), { passive: true });
