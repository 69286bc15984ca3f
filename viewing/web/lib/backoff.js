// This module decides how long a retry waits: 1 s at first, 15 s at most, always with jitter, so that the players of many
// viewers do not all reconnect in the same moment after a server restart.

const MIN_MS = 1000;
const MAX_MS = 15000;
const MOST_DOUBLINGS = 10;

export class Backoff {
  #failures = 0;

  /** Returns the milliseconds to wait now; the upper bound doubles with each call until `reset()`. */
  next() {
    this.#failures += 1;
    const ceiling = Math.min(MAX_MS, MIN_MS * 2 ** Math.min(this.#failures, MOST_DOUBLINGS));
    return MIN_MS + Math.random() * (ceiling - MIN_MS);
  }

  reset() {
    this.#failures = 0;
  }
}

/** Event of `window`: the server answers again, so that pending retries run now. */
export const SERVER_BACK = 'rsm-server-back';

/**
 * Writes a wait as whole seconds, at least one.
 * @param {number} ms
 */
export const inSeconds = (ms) => `${Math.max(1, Math.round(ms / 1000))}\u00a0s`;
