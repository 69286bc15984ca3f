// Knows the wall: one tile per camera in the server's order. Tiles stay where and what they are while their camera
// exists, so that a refresh disturbs neither a playing video nor the focus.

import { keepOnly, modeFor } from './choices.js';
import { Tile } from './tile.js';

const TICK_MS = 1000;

export class Wall {
  #list;
  #tiles = new Map(); // slug -> Tile
  #removed = new Map(); // slug -> when it was removed here: an older answer may still name it
  #callbacks;

  /** `callbacks`: onChanged() after a command, onEdit(camera), onEmptied() when the last tile was removed here. */
  constructor(list, callbacks) {
    this.#list = list;
    this.#callbacks = callbacks;
    setInterval(() => this.#tiles.forEach((tile) => tile.tick()), TICK_MS);
  }

  has(slug) {
    return this.#tiles.has(slug);
  }

  /** Shows exactly these cameras; `asked` is when the server was asked for them. */
  show(cameras, asked) {
    const present = cameras.filter(({ slug }) => !(this.#removed.get(slug) > asked));
    const slugs = new Set(present.map(({ slug }) => slug));
    for (const [slug, at] of this.#removed) if (at <= asked) this.#removed.delete(slug);
    for (const tile of [...this.#tiles.values()]) if (!slugs.has(tile.slug)) this.#drop(tile);
    keepOnly(slugs);
    let place = 0;
    let next = this.#list.firstElementChild;
    for (const camera of present) {
      const known = this.#tiles.get(camera.slug);
      const tile = known ?? this.#make(camera, place);
      if (known) known.update(camera, asked);
      if (tile.element === next) next = next.nextElementSibling;
      else if (!known) this.#list.insertBefore(tile.element, next);
      place += 1;
    }
  }

  /** Brings a tile into view with the focus on its name. */
  reveal(slug) {
    const tile = this.#tiles.get(slug);
    tile?.element.scrollIntoView({ block: 'nearest' });
    tile?.heading.focus({ preventScroll: true });
  }

  #make(camera, place) {
    const tile = new Tile(camera, {
      mode: modeFor(camera.slug, place),
      onChanged: this.#callbacks.onChanged,
      onEdit: this.#callbacks.onEdit,
      onRemoved: (gone) => this.#removeByHand(gone),
    });
    this.#tiles.set(camera.slug, tile);
    return tile;
  }

  #removeByHand(tile) {
    this.#removed.set(tile.slug, performance.now());
    const order = [...this.#list.children];
    const at = order.indexOf(tile.element);
    const neighbour = order[at + 1] ?? order[at - 1];
    this.#drop(tile);
    if (neighbour) neighbour.querySelector('h2').focus();
    else this.#callbacks.onEmptied();
    this.#callbacks.onChanged();
  }

  #drop(tile) {
    this.#tiles.delete(tile.slug);
    tile.destroy();
  }
}
