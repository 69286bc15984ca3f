// Knows how tiles fit into the room there is: how many columns, how wide a tile, how many tiles a page. Pure figures.

/** Tiles a page; 'auto' takes what fits. */
export const LAYOUTS = ['auto', 1, 4, 9, 16, 25, 36, 49, 64];
const MOST_TILES = 64;
const PHONE_TILES = 12; // of one column: a page that scrolls, but not for ever
const PHONE_WIDTH = 640;
const ROOMY_TILES = 4;
const ROOMY_WIDTH = 480; // room for a row of controls
const COMPACT_WIDTH = 230;
const READABLE_WIDTH = 240; // an automatic layout makes no tile smaller
const LEAST_WIDTH = 90; // a chosen one scrolls before tiles get smaller
const PICTURE = 16 / 9;
/** Height of the controls under a roomy tile's picture: keep with `.tile-foot` in app.css. */
const ROOMY_FOOT = 94;

/**
 * How `count` cameras stand in `width` x `height` pixels with `gap` between them: `{tiles, columns, tileWidth, density}`.
 * `tiles` is what a page holds; `density` is roomy, compact, tiny, or phone (one column).
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

// As many as there are, up to where they would get too small to read; then whole pages of a usual layout.
function automatic(room, count) {
  const wanted = Math.min(Math.max(1, count), MOST_TILES);
  if (widest({ ...room, foot: 0 }, wanted).tileWidth >= READABLE_WIDTH) return wanted;
  const usual = LAYOUTS.filter((one) => one !== 'auto' && widest({ ...room, foot: 0 }, one).tileWidth >= READABLE_WIDTH);
  return Math.max(1, ...usual);
}

// The number of columns in which a tile is widest.
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

/** Which of `count` cameras stand on page `page` (from 0): `{page, pages, from, to}`, `to` exclusive. */
export function cut(count, tiles, page) {
  const pages = Math.max(1, Math.ceil(count / tiles));
  const at = Math.min(Math.max(0, page), pages - 1);
  return { page: at, pages, from: at * tiles, to: Math.min(count, (at + 1) * tiles) };
}
