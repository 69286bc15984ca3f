// Knows which way each camera is watched (off, jpeg, hls, both) and remembers what the person chose, in localStorage.
// What nobody chose follows the place on the wall: the first two both ways, the next two as JPEG, the rest off.

const KEY = 'rsm.watch';
export const MODES = ['off', 'jpeg', 'hls', 'both'];
const SHOWN_BOTH_WAYS = 2;
const SHOWN_AT_ALL = 4;

let chosen = load();

function load() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    return new Map(Object.entries(stored).filter(([, mode]) => MODES.includes(mode)));
  } catch {
    return new Map(); // storage switched off, or somebody else's value
  }
}

function store() {
  try {
    localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(chosen)));
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}

/** The way to show a camera that stands at `place` (from 0) on the wall. */
export function modeFor(slug, place) {
  return chosen.get(slug) ?? (place < SHOWN_BOTH_WAYS ? 'both' : place < SHOWN_AT_ALL ? 'jpeg' : 'off');
}

export function choose(slug, mode) {
  chosen.set(slug, mode);
  store();
}

/** Forgets cameras that are gone, so that the memory stays as small as the wall. */
export function keepOnly(slugs) {
  const before = chosen.size;
  chosen = new Map([...chosen].filter(([slug]) => slugs.has(slug)));
  if (chosen.size !== before) store();
}
