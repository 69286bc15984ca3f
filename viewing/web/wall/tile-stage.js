// This module shows the picture part of one tile: the panes of the chosen mode, when their players run (visible, not
// stopped), and the size and rate of the JPEG frames that it requests.

import { unwatchVisibility, watchVisibility } from '../lib/visibility.js';
import { rateFor, widthFor } from '../players/frame-size.js';
import { Players } from '../players/players.js';

/** @import { StateMessage } from '../lib/api-types.js' */
/** @import { Mode } from '../players/players.js' */

const SIZE_SETTLES_MS = 700; // A window that is being resized requests one new size, not every one on its way.

export class TileStage {
  #element;
  #players;
  /** @type {Mode} */
  #mode = 'off';
  #visible = false;
  #stopped = false;
  #tiles = 1;
  /** @type {Timer | undefined} */
  #resized;
  #resizes = new ResizeObserver(() => {
    clearTimeout(this.#resized);
    this.#resized = setTimeout(() => this.#request(), this.#players.jpeg.player.width ? SIZE_SETTLES_MS : 0);
  });

  /**
   * @param {HTMLElement} element
   * @param {{ slug: string, onState: (message: StateMessage) => void }} options
   */
  constructor(element, { slug, onState }) {
    this.#element = element;
    this.#players = new Players(element, { slug, onState, muteKey: ' (M)' });
    this.#resizes.observe(this.#players.jpeg.element);
    watchVisibility(element, (visible) => {
      this.#visible = visible;
      this.#apply();
    });
  }

  get video() {
    return this.#players.video;
  }

  /** @param {string} name */
  setName(name) {
    this.#players.setName(name);
  }

  /** @param {Mode} mode */
  setMode(mode) {
    this.#mode = mode;
    this.#element.dataset.mode = mode;
    this.#apply();
  }

  /**
   * Sets how many tiles share the wall: on a full one, frames come at a lower rate.
   * @param {number} tiles
   */
  setTileCount(tiles) {
    this.#tiles = tiles;
    this.#request();
  }

  /** Mutes or unmutes, and returns whether audio is on; null where there is none. */
  toggleAudio() {
    return this.#players.toggleAudio();
  }

  /**
   * A stopped stream refuses viewers, so its players stop until it is started again.
   * @param {boolean} stopped
   */
  setStopped(stopped) {
    if (stopped === this.#stopped) return;
    this.#stopped = stopped;
    this.#apply();
  }

  /** Writes the figures over the panes; returns the age of the newest picture in ms, NaN when none is watched. */
  tick() {
    return this.#players.tick();
  }

  destroy() {
    unwatchVisibility(this.#element);
    this.#resizes.disconnect();
    clearTimeout(this.#resized);
    this.#visible = false;
    this.#apply();
  }

  // The request is as wide as the pane is on this screen, in the screen's own pixels.
  #request() {
    const { element, player } = this.#players.jpeg;
    if (!element.clientWidth) return;
    player.request({ width: widthFor(element.clientWidth * devicePixelRatio, player.width), fps: rateFor(this.#tiles) });
  }

  #apply() {
    const restingText = this.#stopped ? '' : 'Paused while off screen.';
    this.#players.apply(this.#mode, this.#visible && !this.#stopped, restingText, () => this.#request());
  }
}
