// Knows the pictures of a camera's own page: JPEG and HLS side by side or one of them large, in full screen. Players
// rest while nobody sees them and while the camera is stopped.

import { enterFullScreen, leaveFullScreen } from './full-screen.js';
import { Players } from './players.js';
import { unwatchSight, watchSight } from './sight.js';

const ROOM_FOR_BOTH = '(min-width: 900px)';
let chosen = null; // kept while the page is open: whoever goes from camera to camera wants the same

export class CameraStage {
  #element;
  #players;
  #mode = chosen ?? (matchMedia(ROOM_FOR_BOTH).matches ? 'both' : 'jpeg');
  #seen = false;
  #stopped = false;
  #known = false;

  constructor(element, { slug, onEvent }) {
    this.#element = element;
    this.#players = new Players(element, { slug, onEvent, prefix: 'cp-' });
    element.addEventListener('click', ({ target }) => {
      const button = target.closest('[data-act="full"]');
      if (!button) return;
      if (document.fullscreenElement) leaveFullScreen();
      else enterFullScreen(button.closest('.cp-pane'), this.#players.video);
    });
    watchSight(element, (seen) => {
      this.#seen = seen;
      this.#apply();
    });
    this.#apply();
  }

  get mode() {
    return this.#mode;
  }

  /** both, jpeg or hls. */
  setMode(mode) {
    chosen = mode;
    this.#mode = mode;
    this.#apply();
  }

  setName(name) {
    this.#players.setName(name);
  }

  /** A stopped stream refuses viewers; of one that is not known yet nothing is asked. */
  setStopped(stopped, { known }) {
    if (stopped === this.#stopped && known === this.#known) return;
    this.#stopped = stopped;
    this.#known = known;
    this.#apply();
  }

  /** What HLS plays, as one line; empty when it plays nothing. */
  get shown() {
    return this.#players.shown;
  }

  /** Writes the figures over the pictures. */
  tick() {
    this.#players.tick();
  }

  close() {
    unwatchSight(this.#element);
    this.#seen = false;
    this.#apply();
  }

  #apply() {
    this.#element.dataset.mode = this.#mode;
    const resting = this.#stopped ? 'Stopped. Press Start to watch.' : '';
    this.#players.apply(this.#mode, this.#seen && this.#known && !this.#stopped, resting);
  }
}
