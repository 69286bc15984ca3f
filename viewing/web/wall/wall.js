// This module shows the wall: one tile for each camera of the current page, in the given order. A tile stays the same
// element while its camera is on the page, so that neither a playing video nor the focus is disturbed.

import { elementOf } from '../lib/dom.js';
import { modeFor } from './preferences.js';
import { Tile } from './tile.js';

/** @import { Camera } from '../lib/api-types.js' */
/** @import { Live } from '../lib/live.js' */
/** @import { Fit } from './layout.js' */
/** @import { TileActions } from './tile.js' */

const TICK_MS = 1000;

export class Wall {
  #list;
  #live;
  #actions;
  /** @type {Map<string, Tile>} In the order of the page; bounded by the tiles of a page. */
  #tiles = new Map();
  /** @type {string | null} Slug of the tile that the Tab key leads to; arrows lead to the others. */
  #reachable = null;
  /** @type {string | null} Slug of the tile under the pointer. */
  #hovered = null;
  #columns = 1;

  /**
   * @param {HTMLElement} list
   * @param {{ live: Live } & TileActions} options
   */
  constructor(list, { live, ...actions }) {
    this.#list = list;
    this.#live = live;
    this.#actions = actions;
    setInterval(() => { if (!document.hidden) this.#tiles.forEach((tile) => tile.tick()); }, TICK_MS);
    list.addEventListener('focusin', ({ target }) => this.#setReachable(this.tileOf(target)));
    list.addEventListener('pointerover', ({ target }) => { this.#hovered = this.tileOf(target)?.slug ?? null; });
    list.addEventListener('pointerleave', () => { this.#hovered = null; });
  }

  /**
   * Shows exactly these cameras, in this order.
   * @param {Camera[]} cameras
   * @param {Fit} layout
   */
  show(cameras, { columns, tileWidth, density }) {
    const slugs = new Set(cameras.map(({ slug }) => slug));
    const focused = this.tileOf(document.activeElement);
    const place = focused ? this.slugs.indexOf(focused.slug) : -1;
    for (const tile of [...this.#tiles.values()]) if (!slugs.has(tile.slug)) this.#drop(tile);
    this.#place(cameras);
    this.#columns = columns;
    this.#list.dataset.density = density;
    this.#list.style.gridTemplateColumns = density === 'phone' ? '' : `repeat(${columns}, ${tileWidth}px)`;
    this.#tiles.forEach((tile) => tile.setTileCount(cameras.length));
    // The focused tile went or was moved: the tile in its place takes the focus.
    if (focused && !this.#list.contains(document.activeElement)) this.#focusInstead(focused.slug, place);
    const [first] = this.#tiles.values();
    this.#setReachable(this.#tiles.get(this.#reachable ?? '') ?? first);
  }

  /** @param {string | undefined} slug */
  tile(slug) {
    return slug === undefined ? undefined : this.#tiles.get(slug);
  }

  /**
   * Returns the tile that an element stands in.
   * @param {EventTarget | null} target
   */
  tileOf(target) {
    const article = elementOf(target)?.closest('[data-slug]');
    return article instanceof HTMLElement ? this.tile(article.dataset.slug) : undefined;
  }

  /** The tile that a key is meant for: the one with the focus, else the one under the pointer. */
  get current() {
    return this.tileOf(document.activeElement) ?? this.#tiles.get(this.#hovered ?? '');
  }

  get slugs() {
    return [...this.#tiles.keys()];
  }

  /**
   * Returns how many places an arrow key moves; 0 for other keys.
   * @param {string} key
   */
  stepOf(key) {
    if (key === 'ArrowLeft') return -1;
    if (key === 'ArrowRight') return 1;
    if (key === 'ArrowUp') return -this.#columns;
    return key === 'ArrowDown' ? this.#columns : 0;
  }

  /**
   * Moves the focus by an arrow key; returns false where there is no tile in that direction.
   * @param {string} key
   */
  go(key) {
    const { slugs } = this;
    const from = this.tileOf(document.activeElement);
    const to = from ? slugs.indexOf(from.slug) + this.stepOf(key) : 0;
    const tile = this.tile(slugs[to]);
    if (!tile) return false;
    reveal(tile);
    return true;
  }

  /**
   * Scrolls to a tile and focuses its name.
   * @param {string | undefined} slug
   */
  reveal(slug) {
    const tile = this.tile(slug);
    if (tile) reveal(tile);
  }

  /** @param {Camera[]} cameras */
  #place(cameras) {
    const before = this.#tiles;
    this.#tiles = new Map();
    let next = this.#list.firstElementChild;
    for (const camera of cameras) {
      const known = before.get(camera.slug);
      known?.update(camera);
      const tile = known ?? new Tile(camera, { live: this.#live, mode: modeFor(camera.slug), ...this.#actions });
      this.#tiles.set(camera.slug, tile);
      if (tile.element === next) next = next.nextElementSibling;
      else put(this.#list, tile.element, next);
    }
  }

  /**
   * @param {string} slug
   * @param {number} place
   */
  #focusInstead(slug, place) {
    const tile = this.tile(slug) ?? this.tile(this.slugs[place]) ?? this.tile(this.slugs.at(-1));
    (tile ?? this.#list).focus();
  }

  /** @param {Tile} tile */
  #drop(tile) {
    this.#tiles.delete(tile.slug);
    tile.destroy();
  }

  /** @param {Tile | undefined} tile */
  #setReachable(tile) {
    this.#reachable = tile?.slug ?? null;
    this.#tiles.forEach((one) => one.setReachable(one === tile));
  }
}

/** @param {Tile} tile */
function reveal(tile) {
  tile.element.scrollIntoView({ block: 'nearest' });
  tile.focus();
}

/**
 * Inserts or moves an element; moveBefore() keeps a video playing where the browser has it.
 * @param {HTMLElement} list
 * @param {Element} element
 * @param {Element | null} next
 */
function put(list, element, next) {
  if (list.moveBefore && element.isConnected) list.moveBefore(element, next);
  else list.insertBefore(element, next);
}
