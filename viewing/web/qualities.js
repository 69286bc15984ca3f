// Knows the qualities of a stream: what a playlist's levels are called, and which level stands for what a person chose.
//
// Unless somebody chooses, the camera's own pictures are played, also in a small tile: they are there already, while a
// lower rendition costs the server an encoder for each camera of the wall.

import { codecName } from './words.js';

export const SOURCE = 'source';
export const AUTO = 'auto';

/** The rendition's name, as it stands in its playlist's address. */
export function nameOf(level) {
  const address = level?.uri ?? [level?.url].flat()[0] ?? '';
  return /([^/]+)\.m3u8(?:[?#]|$)/.exec(address)?.[1] ?? '';
}

export function label(name) {
  if (name === AUTO) return 'Auto';
  if (name === SOURCE) return 'Source';
  return name === 'h264' ? 'H.264' : name;
}

/** Which of hls.js' levels to play; -1 to let it choose by bandwidth and the size of the tile. */
export function pick(levels, quality) {
  if (quality === AUTO) return -1;
  const at = (name) => levels.findIndex((level) => nameOf(level) === name);
  const chosen = [quality, SOURCE, 'h264'].map(at).find((index) => index >= 0);
  if (chosen !== undefined) return chosen;
  const most = Math.max(...levels.map(({ height }) => height ?? 0));
  return levels.findIndex(({ height }) => (height ?? 0) === most);
}

export const isH264 = (level) => codecName(level?.videoCodec) === 'H.264';
