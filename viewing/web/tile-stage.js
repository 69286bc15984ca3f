// Knows the picture part of one tile: which panes the chosen mode has, when their players may run (in sight, not
// stopped), and how large and how often a JPEG picture is asked for.

import { rateFor, widthFor } from './frame-size.js';
import { Players } from './players.js';
import { unwatchSight, watchSight } from './sight.js';

const SIZE_SETTLES_MS = 700; // a window being dragged asks for one new size, not for every one on its way

export class TileStage {
  #element;
  #players;
  #mode = 'off';
  #seen = false;
  #stopped = false;
  #tiles = 1;
  #resized = null;
  #size = new ResizeObserver(() => {
    clearTimeout(this.#resized);
    this.#resized = setTimeout(() => this.#ask(), this.#players.jpeg.player.width ? SIZE_SETTLES_MS : 0);
  });

  constructor(element, { slug, onEvent }) {
    this.#element = element;
    this.#players = new Players(element, { slug, onEvent, soundKey: ' (M)' });
    this.#size.observe(this.#players.jpeg.pane);
    watchSight(element, (seen) => {
      this.#seen = seen;
      this.#apply();
    });
  }

  setName(name) {
    this.#players.setName(name);
  }

  setMode(mode) {
    this.#mode = mode;
    this.#element.dataset.mode = mode;
    this.#apply();
  }

  /** How many tiles share the wall: on a full one, frames come slower. */
  setCrowd(tiles) {
    this.#tiles = tiles;
    this.#ask();
  }

  /** Sound on or off; null where there is none. */
  toggleSound() {
    return this.#players.toggleSound();
  }

  /** What the HLS pane plays, as one line; empty when it plays nothing. */
  get shown() {
    return this.#players.shown;
  }

  /** A stopped stream refuses viewers: its players rest until it is started again. */
  setStopped(stopped) {
    if (stopped === this.#stopped) return;
    this.#stopped = stopped;
    this.#apply();
  }

  /** Writes the figures over the panes; gives the age of the newest picture in ms, NaN when none is watched. */
  tick() {
    return this.#players.tick();
  }

  destroy() {
    unwatchSight(this.#element);
    this.#size.disconnect();
    clearTimeout(this.#resized);
    this.#seen = false;
    this.#apply();
  }

  // As wide as the pane is on this screen, in the screen's own pixels.
  #ask() {
    const { pane, player } = this.#players.jpeg;
    if (!pane.clientWidth) return;
    player.ask({ width: widthFor(pane.clientWidth * devicePixelRatio, player.width), fps: rateFor(this.#tiles) });
  }

  #apply() {
    const resting = this.#stopped ? '' : 'Paused while out of sight.';
    this.#players.apply(this.#mode, this.#seen && !this.#stopped, resting, () => this.#ask());
  }
}
