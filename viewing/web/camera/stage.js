// This module shows the pictures on a camera's own page: JPEG and HLS side by side or one of them large, in full screen.
// Players stop while they are off screen and while the camera is stopped.

import { elementOf } from '../lib/dom.js';
import { enterFullScreen, leaveFullScreen } from '../lib/full-screen.js';
import { unwatchVisibility, watchVisibility } from '../lib/visibility.js';
import { Players } from '../players/players.js';

/** @import { StateMessage } from '../lib/api-types.js' */
/** @import { Mode } from '../players/players.js' */

const ROOM_FOR_BOTH = '(min-width: 900px)';
/** @type {Mode | null} The choice holds for every camera until the page is closed. */
let chosen = null;

export class CameraStage {
  #element;
  #players;
  /** @type {Mode} */
  #mode = chosen ?? (matchMedia(ROOM_FOR_BOTH).matches ? 'both' : 'jpeg');
  #visible = false;
  #stopped = false;
  #known = false;

  /**
   * @param {HTMLElement} element
   * @param {{ slug: string, onState: (message: StateMessage) => void }} options
   */
  constructor(element, { slug, onState }) {
    this.#element = element;
    this.#players = new Players(element, { slug, onState, prefix: 'cp-' });
    element.addEventListener('click', ({ target }) => {
      const pane = elementOf(target)?.closest('[data-act="full"]')?.closest('.cp-pane');
      if (!pane) return;
      if (document.fullscreenElement) leaveFullScreen();
      else enterFullScreen(pane, this.#players.video);
    });
    watchVisibility(element, (visible) => {
      this.#visible = visible;
      this.#apply();
    });
    this.#apply();
  }

  get mode() {
    return this.#mode;
  }

  /** @param {Mode} mode */
  setMode(mode) {
    chosen = mode;
    this.#mode = mode;
    this.#apply();
  }

  /** @param {string} name */
  setName(name) {
    this.#players.setName(name);
  }

  /**
   * A stopped stream refuses viewers, and nothing is requested of a camera that is not known yet.
   * @param {boolean} stopped
   * @param {{ known: boolean }} camera
   */
  setStopped(stopped, { known }) {
    if (stopped === this.#stopped && known === this.#known) return;
    this.#stopped = stopped;
    this.#known = known;
    this.#apply();
  }

  /** The encoding that HLS plays, as one line; empty when it plays nothing. */
  get shown() {
    return this.#players.shown;
  }

  /** Writes the figures over the pictures. */
  tick() {
    this.#players.tick();
  }

  close() {
    unwatchVisibility(this.#element);
    this.#visible = false;
    this.#apply();
  }

  #apply() {
    this.#element.dataset.mode = this.#mode;
    const restingText = this.#stopped ? 'Stopped. Press Start to watch.' : '';
    this.#players.apply(this.#mode, this.#visible && this.#known && !this.#stopped, restingText);
  }
}
