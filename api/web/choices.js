// Knows what the person chose for each camera, and remembers it in localStorage: which way it is watched (off, jpeg,
// hls, both), and in which quality. What nobody chose follows the place on the wall: the first two both ways, the next
// two as JPEG, the rest off.

import { SOURCE } from './qualities.js';

export const MODES = ['off', 'jpeg', 'hls', 'both'];
const SHOWN_BOTH_WAYS = 2;
const SHOWN_AT_ALL = 4;

class Memory {
  #key;
  #chosen;

  constructor(key, fits) {
    this.#key = key;
    try {
      const stored = JSON.parse(localStorage.getItem(key) ?? '{}');
      this.#chosen = new Map(Object.entries(stored).filter(([, value]) => fits(value)));
    } catch {
      this.#chosen = new Map(); // storage switched off, or somebody else's value
    }
  }

  get(slug) {
    return this.#chosen.get(slug);
  }

  set(slug, value) {
    this.#chosen.set(slug, value);
    this.#store();
  }

  keepOnly(slugs) {
    const before = this.#chosen.size;
    this.#chosen = new Map([...this.#chosen].filter(([slug]) => slugs.has(slug)));
    if (this.#chosen.size !== before) this.#store();
  }

  #store() {
    try {
      localStorage.setItem(this.#key, JSON.stringify(Object.fromEntries(this.#chosen)));
    } catch {
      // Without storage the choice lasts as long as the page.
    }
  }
}

const modes = new Memory('rsm.watch', (value) => MODES.includes(value));
const qualities = new Memory('rsm.quality', (value) => /^(auto|source|h264|\d{3,4}p)$/.test(value));

/** The way to show a camera that stands at `place` (from 0) on the wall. */
export function modeFor(slug, place) {
  return modes.get(slug) ?? (place < SHOWN_BOTH_WAYS ? 'both' : place < SHOWN_AT_ALL ? 'jpeg' : 'off');
}

export const choose = (slug, mode) => modes.set(slug, mode);

export const qualityFor = (slug) => qualities.get(slug) ?? SOURCE;
export const chooseQuality = (slug, quality) => qualities.set(slug, quality);

/** Forgets cameras that are gone, so that the memory stays as small as the wall. */
export function keepOnly(slugs) {
  modes.keepOnly(slugs);
  qualities.keepOnly(slugs);
}
