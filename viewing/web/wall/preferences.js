// This module remembers how the viewer set up the wall: the way each camera is watched, the layout, the order, the sorting
// and how often pages turn.

import { CameraChoices, MOST_REMEMBERED, recall, store } from '../lib/storage.js';
import { keepQualities } from '../players/preferences.js';
import { isMode } from '../players/players.js';
import { LAYOUTS } from './layout.js';
import { SORTS } from './order.js';

/** @import { Mode } from '../players/players.js' */
/** @import { Layout } from './layout.js' */
/** @import { Sort } from './order.js' */
/** @typedef {{ layout: Layout, sort: Sort, turn: number, order: string[] }} WallPreferences `order`: slugs; others follow */

/** Seconds that a page of the wall stays; 0: until the viewer turns it. */
export const TURNS = [0, 10, 20, 30, 60, 120];
const WALL_KEY = 'rsm.wall';
/** @type {Mode} The cheapest way to see a wall of cameras. */
const DEFAULT_MODE = 'jpeg';

const modes = new CameraChoices('rsm.watch', isMode);

/**
 * @param {string} slug
 * @returns {Mode}
 */
export function modeFor(slug) {
  const mode = modes.get(slug);
  return isMode(mode) ? mode : DEFAULT_MODE;
}

/**
 * @param {string} slug
 * @param {Mode} mode
 */
export const chooseMode = (slug, mode) => modes.set(slug, mode);

export const wall = validWall(recall(WALL_KEY));

/**
 * Returns stored preferences of the wall with defaults for what is missing or invalid.
 * @param {Record<string, unknown>} stored
 * @returns {WallPreferences}
 */
export function validWall({ layout, sort, turn, order }) {
  const slugs = Array.isArray(order) ? order.filter((slug) => typeof slug === 'string') : [];
  return {
    layout: LAYOUTS.find((one) => one === layout) ?? 'auto',
    sort: SORTS.find(([key]) => key === sort)?.[0] ?? 'own',
    turn: TURNS.find((one) => one === turn) ?? 0,
    order: slugs.slice(0, MOST_REMEMBERED),
  };
}

/** @param {Partial<WallPreferences>} change */
export function chooseWall(change) {
  Object.assign(wall, change);
  wall.order = wall.order.slice(0, MOST_REMEMBERED);
  store(WALL_KEY, wall);
}

/**
 * Forgets cameras that no longer exist, so that storage stays as small as the wall.
 * @param {{ has(slug: string): boolean }} slugs
 */
export function keepOnly(slugs) {
  modes.keepOnly(slugs);
  keepQualities(slugs);
  const left = wall.order.filter((slug) => slugs.has(slug));
  if (left.length !== wall.order.length) chooseWall({ order: left });
}
