// This module decides which cameras the viewer sees and in which order: search, filter by state, sorting, and the places
// that cameras were moved to. It only computes.

import { GROUPS, groupOf, urgency } from '../lib/camera-states.js';

/** @import { Camera } from '../lib/api-types.js' */
/** @typedef {'own' | 'name' | 'state' | 'zone' | 'newest'} Sort `own`: the order in which the viewer put the cameras */

/** @type {[key: Sort, label: string][]} */
export const SORTS = [['own', 'My order'], ['name', 'By name'], ['state', 'By state'], ['zone', 'By zone'], ['newest', 'Newest first']];

const ADDRESS_LETTERS = 3; // Words of at least so many letters are searched for in addresses too.
const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });

/** @param {Camera} camera */
const nameOf = ({ name, slug }) => name || slug;

/** @typedef {(one: Camera, other: Camera) => number} Compare */

/** @type {Compare} */
const byId = (one, other) => (one.id ?? 0) - (other.id ?? 0);

/** @type {Compare} */
const byName = (one, other) => collator.compare(nameOf(one), nameOf(other)) || byId(one, other);

/** @type {Record<Exclude<Sort, 'own'>, Compare>} */
const COMPARE = {
  name: byName,
  state: (one, other) => urgency(one.state) - urgency(other.state) || byName(one, other),
  zone: (one, other) => collator.compare(one.zone ?? '', other.zone ?? '') || byName(one, other),
  newest: (one, other) => byId(other, one),
};

/**
 * Returns the cameras to show. Every word of `query` must be in name or zone; longer words may be in slug or address.
 * @param {Camera[]} cameras
 * @param {{ query?: string, group?: string, sort?: Sort, order?: string[] }} options `order`: slugs, used by sort `own`
 * @returns {Camera[]}
 */
export function arrange(cameras, { query = '', group = 'all', sort = 'own', order = [] }) {
  const found = cameras.filter((camera) => matches(camera, query) && (group === 'all' || groupOf(camera.state) === group));
  if (sort !== 'own') return found.sort(COMPARE[sort]);
  const places = new Map(order.map((slug, place) => [slug, place]));
  /** @param {Camera} camera */
  const placeOf = ({ slug }) => places.get(slug) ?? order.length;
  return found.sort((one, other) => placeOf(one) - placeOf(other) || byId(one, other));
}

/**
 * Addresses and slugs are full of digits that match any short word, so short words count in name and zone only.
 * @param {Camera} camera
 * @param {string} query
 */
function matches(camera, query) {
  const named = [nameOf(camera), camera.zone].join(' ').toLowerCase();
  const text = [named, camera.slug, camera.url].join(' ').toLowerCase();
  return query.toLowerCase().split(/\s+/).every((word) => (word.length < ADDRESS_LETTERS ? named : text).includes(word));
}

/**
 * Returns how many cameras are in each group: `{all: 12, live: 10, ...}`.
 * @param {Pick<Camera, 'state'>[]} cameras
 * @returns {Record<string, number>}
 */
export function countGroups(cameras) {
  const counts = Object.fromEntries(GROUPS.map(([key]) => [key, 0]));
  for (const { state } of cameras) counts[groupOf(state)] += 1;
  counts.all = cameras.length;
  return counts;
}

/**
 * Returns `slugs` with `slug` at the place of `target`; the ones between make room. Without a change it returns `slugs`.
 * @param {string[]} slugs
 * @param {string} slug
 * @param {string} target
 */
export function moved(slugs, slug, target) {
  const to = slugs.indexOf(target);
  const from = slugs.indexOf(slug);
  if (from < 0 || to < 0 || from === to) return slugs;
  const rest = slugs.filter((one) => one !== slug);
  rest.splice(to, 0, slug);
  return rest;
}

/**
 * Returns an order of all cameras in which the shown ones stand as in `seen`; the hidden ones keep their places.
 * @param {string[]} all
 * @param {string[]} seen
 */
export function merged(all, seen) {
  const shown = new Set(seen);
  let next = 0;
  return all.map((slug) => (shown.has(slug) ? seen[next++] : slug));
}
