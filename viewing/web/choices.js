// Knows what the person chose, and remembers it in localStorage: for each camera the way it is watched (off, jpeg, hls,
// both) and its quality; for the wall its layout, its order, its sorting and how often pages turn.

import { SOURCE } from './qualities.js';
import { LAYOUTS } from './wall-layout.js';
import { SORTS } from './wall-order.js';

export const MODES = ['off', 'jpeg', 'hls', 'both'];
/** Seconds that a page of the wall stays; 0: until somebody turns it. */
export const TURNS = [0, 10, 20, 30, 60, 120];
const USUAL_MODE = 'jpeg'; // of whatever is in sight: the cheapest way to see a wall of cameras
const MOST_REMEMBERED = 1000; // cameras, as many as the page lists

function recall(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? '{}') ?? {};
  } catch {
    return {}; // storage switched off, or somebody else's value
  }
}

function store(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}

class Memory {
  #key;
  #chosen;

  constructor(key, fits) {
    this.#key = key;
    this.#chosen = new Map(Object.entries(recall(key)).filter(([, value]) => fits(value)).slice(0, MOST_REMEMBERED));
  }

  get(slug) {
    return this.#chosen.get(slug);
  }

  set(slug, value) {
    this.#chosen.delete(slug); // the newest choice stands last
    this.#chosen.set(slug, value);
    if (this.#chosen.size > MOST_REMEMBERED) this.#chosen.delete(this.#chosen.keys().next().value);
    this.#store();
  }

  keepOnly(slugs) {
    const before = this.#chosen.size;
    this.#chosen = new Map([...this.#chosen].filter(([slug]) => slugs.has(slug)));
    if (this.#chosen.size !== before) this.#store();
  }

  #store() {
    store(this.#key, Object.fromEntries(this.#chosen));
  }
}

const modes = new Memory('rsm.watch', (value) => MODES.includes(value));
const qualities = new Memory('rsm.quality', (value) => /^(auto|source|h264|\d{3,4}p)$/.test(value));

export const modeFor = (slug) => modes.get(slug) ?? USUAL_MODE;
export const choose = (slug, mode) => modes.set(slug, mode);

export const qualityFor = (slug) => qualities.get(slug) ?? SOURCE;
export const chooseQuality = (slug, quality) => qualities.set(slug, quality);

/** How the wall looks: `{layout, sort, turn, order}`; `order` is a list of slugs, the rest stands behind them. */
export const wall = (() => {
  const { layout, sort, turn, order } = recall('rsm.wall');
  return {
    layout: LAYOUTS.includes(layout) ? layout : 'auto',
    sort: SORTS.some(([key]) => key === sort) ? sort : 'own',
    turn: TURNS.includes(turn) ? turn : 0,
    order: Array.isArray(order) ? order.filter((slug) => typeof slug === 'string').slice(0, MOST_REMEMBERED) : [],
  };
})();

export function chooseWall(change) {
  Object.assign(wall, change);
  wall.order = wall.order.slice(0, MOST_REMEMBERED);
  store('rsm.wall', wall);
}

/** Forgets cameras that are gone, so that the memory stays as small as the wall. */
export function keepOnly(slugs) {
  modes.keepOnly(slugs);
  qualities.keepOnly(slugs);
  const left = wall.order.filter((slug) => slugs.has(slug));
  if (left.length !== wall.order.length) chooseWall({ order: left });
}
