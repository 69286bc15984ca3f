// This module names the qualities of a stream and maps the chosen quality to a level of its playlist.
//
// Without a choice the camera's own encoding is played, also in a small tile: it exists already, while a lower rendition
// costs the server an encoder for each camera of the wall.

import { codecName } from '../lib/text.js';

/** @typedef {{ uri?: string, url?: string | string[], height?: number, videoCodec?: string }} Level */

export const SOURCE = 'source';
export const AUTO = 'auto';

/**
 * Tells whether a stored quality is one that this page writes.
 * @param {string} quality
 */
export const isQuality = (quality) => /^(auto|source|h264|\d{3,4}p)$/.test(quality);

/**
 * Returns the rendition's name, which is the file name of its playlist.
 * @param {Level | undefined} level
 * @returns {string}
 */
export function nameOf(level) {
  const address = level?.uri ?? [level?.url].flat()[0] ?? '';
  return /([^/]+)\.m3u8(?:[?#]|$)/.exec(address)?.[1] ?? '';
}

/** @param {string} name */
export function label(name) {
  if (name === AUTO) return 'Auto';
  if (name === SOURCE) return 'Source';
  return name === 'h264' ? 'H.264' : name;
}

/**
 * Returns the index of the level to play; -1 lets hls.js choose by bandwidth and the size of the tile.
 * @param {Level[]} levels
 * @param {string} quality
 */
export function pick(levels, quality) {
  if (quality === AUTO) return -1;
  for (const name of [quality, SOURCE, 'h264']) {
    const index = levels.findIndex((level) => nameOf(level) === name);
    if (index >= 0) return index;
  }
  const highest = Math.max(...levels.map(({ height }) => height ?? 0));
  return levels.findIndex(({ height }) => (height ?? 0) === highest);
}

/** @param {Level | undefined} level */
export const isH264 = (level) => codecName(level?.videoCodec) === 'H.264';
