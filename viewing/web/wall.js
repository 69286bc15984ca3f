// Knows the wall: one tile for each camera of the page that is shown, in the order it is given. Tiles stay what they are
// while their camera is on the page, so that neither a playing video nor the focus is disturbed.

import { modeFor } from './choices.js';
import { Tile } from './tile.js';

const TICK_MS = 1000;

export class Wall {
  #list;
  #live;
  #callbacks;
  #tiles = new Map(); // slug -> Tile, in the order of the page
  #reachable = null; // the tile that the Tab key leads to; arrows lead to the others
  #hovered = null; // slug of the tile under the pointer
  #columns = 1;

  /** `callbacks` are those of the tiles. */
  constructor(list, { live, ...callbacks }) {
    this.#list = list;
    this.#live = live;
    this.#callbacks = callbacks;
    setInterval(() => document.hidden || this.#tiles.forEach((tile) => tile.tick()), TICK_MS);
    list.addEventListener('focusin', ({ target }) => this.#reach(this.tileOf(target)));
    list.addEventListener('pointerover', ({ target }) => { this.#hovered = this.tileOf(target)?.slug ?? null; });
    list.addEventListener('pointerleave', () => { this.#hovered = null; });
  }

  /** Shows exactly these cameras, in this order, as `fit` of wall-layout.js says. */
  show(cameras, { columns, tileWidth, density }) {
    const slugs = new Set(cameras.map(({ slug }) => slug));
    const focused = this.tileOf(document.activeElement);
    const place = this.slugs.indexOf(focused?.slug);
    for (const tile of [...this.#tiles.values()]) if (!slugs.has(tile.slug)) this.#drop(tile);
    const before = this.#tiles;
    this.#tiles = new Map();
    let next = this.#list.firstElementChild;
    for (const camera of cameras) {
      const known = before.get(camera.slug);
      const tile = known ?? this.#make(camera);
      known?.update(camera);
      this.#tiles.set(camera.slug, tile);
      if (tile.element === next) next = next.nextElementSibling;
      else put(this.#list, tile.element, next);
    }
    this.#columns = columns;
    this.#list.dataset.density = density;
    this.#list.style.gridTemplateColumns = density === 'phone' ? '' : `repeat(${columns}, ${tileWidth}px)`;
    this.#tiles.forEach((tile) => tile.setCrowd(cameras.length));
    // A tile that went, or was put elsewhere, had the focus: what stands in its place has it now.
    if (focused && !this.#list.contains(document.activeElement)) {
      (this.#tiles.get(focused.slug) ?? this.#tiles.get(this.slugs[place]) ?? [...this.#tiles.values()].at(-1) ?? this.#list).focus();
    }
    this.#reach(this.#tiles.get(this.#reachable) ?? this.#tiles.values().next().value);
  }

  tile(slug) {
    return this.#tiles.get(slug);
  }

  /** The tile that an element stands in. */
  tileOf(element) {
    return this.#tiles.get(element?.closest?.('[data-slug]')?.dataset.slug);
  }

  /** The tile that a key means: the one with the focus, else the one under the pointer. */
  get current() {
    return this.tileOf(document.activeElement) ?? this.#tiles.get(this.#hovered);
  }

  get slugs() {
    return [...this.#tiles.keys()];
  }

  /** How many places an arrow key goes. */
  stepOf(key) {
    return { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.#columns, ArrowDown: this.#columns }[key] ?? 0;
  }

  /** Moves the focus by an arrow key; false where there is no tile in that direction. */
  go(key) {
    const slugs = this.slugs;
    const from = this.tileOf(document.activeElement);
    const to = from ? slugs.indexOf(from.slug) + this.stepOf(key) : 0;
    const tile = this.#tiles.get(slugs[to]);
    if (!tile) return false;
    this.#reveal(tile);
    return true;
  }

  /** Brings a tile into view with the focus on its name. */
  reveal(slug) {
    const tile = this.#tiles.get(slug);
    if (tile) this.#reveal(tile);
  }

  #reveal(tile) {
    tile.element.scrollIntoView({ block: 'nearest' });
    tile.focus();
  }

  #make(camera) {
    return new Tile(camera, { live: this.#live, mode: modeFor(camera.slug), ...this.#callbacks });
  }

  #drop(tile) {
    this.#tiles.delete(tile.slug);
    tile.destroy();
  }

  #reach(tile) {
    this.#reachable = tile?.slug ?? null;
    this.#tiles.forEach((one) => one.setReachable(one === tile));
  }
}

// moveBefore() keeps a video playing where the browser has it.
function put(list, element, next) {
  if (list.moveBefore && element.isConnected) list.moveBefore(element, next);
  else list.insertBefore(element, next);
}
