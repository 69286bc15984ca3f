// This module decides how tiles fit into the room: how many columns, how wide a tile, how many tiles per page. It only
// computes.

/** @typedef {'auto' | number} Layout tiles per page; 'auto' takes what fits */
/** @typedef {'roomy' | 'compact' | 'tiny' | 'phone'} Density phone: one column */
/** @typedef {{ tiles: number, columns: number, tileWidth: number, density: Density }} Fit `tiles`: per page */

/** @type {Layout[]} */
export const LAYOUTS = ['auto', 1, 4, 9, 16, 25, 36, 49, 64];
const MOST_TILES = 64;
const PHONE_TILES = 12; // of one column: a page that scrolls, but has an end
const PHONE_WIDTH = 640;
const ROOMY_TILES = 4;
const ROOMY_WIDTH = 480; // room for a row of controls
const COMPACT_WIDTH = 230;
const READABLE_WIDTH = 240; // An automatic layout makes no tile smaller.
const LEAST_WIDTH = 90; // A chosen layout scrolls before its tiles get smaller.
const PICTURE = 16 / 9;
/** Height of the controls under a roomy tile's picture, as `.tile-foot` in wall.css has it. */
const ROOMY_FOOT = 94;

/**
 * Returns how `count` cameras stand in `width` x `height` pixels with `gap` between them.
 * @param {{ width: number, height: number, gap: number, layout: Layout, count: number, kiosk: boolean }} room
 * @returns {Fit}
 */
export function fit({ width, height, gap, layout, count, kiosk }) {
  if (width < PHONE_WIDTH && !kiosk) {
    return { tiles: layout === 'auto' ? PHONE_TILES : layout, columns: 1, tileWidth: width, density: 'phone' };
  }
  const room = { width, height, gap };
  const tiles = layout === 'auto' ? automatic(room, count) : layout;
  if (tiles <= ROOMY_TILES && !kiosk) {
    const roomy = widest({ ...room, foot: ROOMY_FOOT }, tiles);
    if (roomy.tileWidth >= ROOMY_WIDTH) return { tiles, ...roomy, density: 'roomy' };
  }
  const { columns, tileWidth } = widest({ ...room, foot: 0 }, tiles);
  const least = Math.max(tileWidth, Math.min(LEAST_WIDTH, width));
  return { tiles, columns, tileWidth: least, density: least >= COMPACT_WIDTH ? 'compact' : 'tiny' };
}

/**
 * Returns as many tiles as there are cameras while they stay readable; beyond that, whole pages of a usual layout.
 * @param {{ width: number, height: number, gap: number }} room
 * @param {number} count
 */
function automatic(room, count) {
  /** @param {number} tiles */
  const readable = (tiles) => widest({ ...room, foot: 0 }, tiles).tileWidth >= READABLE_WIDTH;
  const wanted = Math.min(Math.max(1, count), MOST_TILES);
  if (readable(wanted)) return wanted;
  return Math.max(1, ...LAYOUTS.filter((one) => one !== 'auto').filter(readable));
}

/**
 * Returns the number of columns in which a tile is widest.
 * @param {{ width: number, height: number, gap: number, foot: number }} room `foot`: height of the controls under a picture
 * @param {number} tiles
 */
function widest({ width, height, gap, foot }, tiles) {
  let best = { columns: 1, tileWidth: 0 };
  for (let columns = 1; columns <= tiles; columns += 1) {
    const rows = Math.ceil(tiles / columns);
    const across = (width - gap * (columns - 1)) / columns;
    const down = ((height - gap * (rows - 1)) / rows - foot) * PICTURE;
    const tileWidth = Math.floor(Math.min(across, down));
    if (tileWidth > best.tileWidth) best = { columns, tileWidth };
  }
  return best;
}

/**
 * Returns which of `count` cameras stand on page `page` (from 0); `to` is exclusive. A page beyond the last is the last.
 * @param {number} count
 * @param {number} tiles per page
 * @param {number} page
 */
export function cut(count, tiles, page) {
  const pages = Math.max(1, Math.ceil(count / tiles));
  const at = Math.min(Math.max(0, page), pages - 1);
  return { page: at, pages, from: at * tiles, to: Math.min(count, (at + 1) * tiles) };
}
