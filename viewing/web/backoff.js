// Knows how long to wait before trying again: 1 s at first, up to 15 s, always with jitter so that the players of many
// viewers do not all come back in the same moment after a server restart.

const MIN_MS = 1000;
const MAX_MS = 15000;

export class Backoff {
  #failures = 0;

  /** Milliseconds to wait now; grows with each call until reset(). */
  next() {
    const ceiling = Math.min(MAX_MS, MIN_MS * 2 ** Math.min(++this.#failures, 10));
    return MIN_MS + Math.random() * (ceiling - MIN_MS);
  }

  reset() {
    this.#failures = 0;
  }
}

/** Heard on `window` when the server answers again: whoever waits for a retry need not wait any longer. */
export const SERVER_BACK = 'rsm-server-back';

export const inSeconds = (ms) => `${Math.max(1, Math.round(ms / 1000))}\u00a0s`;
