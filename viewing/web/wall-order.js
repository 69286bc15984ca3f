// Knows which cameras a person sees and in which order: what was searched for, the state asked for, the sorting, and the
// places they were moved to. Pure decisions over the list.

import { GROUPS, groupOf, urgency } from './camera-states.js';

/** `[key, label]`; `own` is the order in which a person put them. */
export const SORTS = [['own', 'My order'], ['name', 'By name'], ['state', 'By state'], ['zone', 'By zone'], ['newest', 'Newest first']];

const ANYWHERE = 3; // letters of a word that is searched for in addresses too
const shown = (camera) => camera.name || camera.slug;
const words = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });
const byName = (one, other) => words.compare(shown(one), shown(other)) || one.id - other.id;

const COMPARE = {
  name: byName,
  state: (one, other) => urgency(one.state) - urgency(other.state) || byName(one, other),
  zone: (one, other) => words.compare(one.zone ?? '', other.zone ?? '') || byName(one, other),
  newest: (one, other) => other.id - one.id,
};

/** The cameras to show: `query` words must all be in name or zone, longer ones may be in slug or address; `order` is a list of slugs. */
export function arrange(cameras, { query = '', group = 'all', sort = 'own', order = [] }) {
  const found = cameras.filter((camera) => matches(camera, query) && (group === 'all' || groupOf(camera.state) === group));
  if (COMPARE[sort]) return found.sort(COMPARE[sort]);
  const place = new Map(order.map((slug, at) => [slug, at]));
  const at = ({ slug }) => place.get(slug) ?? order.length;
  return found.sort((one, other) => at(one) - at(other) || one.id - other.id);
}

// Addresses and slugs are full of figures that fit any short word: those count in what a person named only.
function matches(camera, query) {
  const named = [shown(camera), camera.zone].join(' ').toLowerCase();
  const text = [named, camera.slug, camera.url].join(' ').toLowerCase();
  return query.toLowerCase().split(/\s+/).every((word) => (word.length < ANYWHERE ? named : text).includes(word));
}

/** How many cameras are in each group: `{all: 12, live: 10, ...}`. */
export function countGroups(cameras) {
  const counts = Object.fromEntries(GROUPS.map(([key]) => [key, 0]));
  for (const { state } of cameras) counts[groupOf(state)] += 1;
  counts.all = cameras.length;
  return counts;
}

/** `slugs` with `slug` at the place where `target` is; the ones between make room. */
export function moved(slugs, slug, target) {
  const to = slugs.indexOf(target);
  const from = slugs.indexOf(slug);
  if (from < 0 || to < 0 || from === to) return slugs;
  const rest = slugs.filter((one) => one !== slug);
  rest.splice(to, 0, slug);
  return rest;
}

/** An order of all cameras in which the ones shown stand as `seen` says; the hidden ones keep their places. */
export function merged(all, seen) {
  const among = new Set(seen);
  let next = 0;
  return all.map((slug) => (among.has(slug) ? seen[next++] : slug));
}
