// This module moves a tile to another place: dragged by mouse or pen, by a finger that rests on it first (so that a finger
// can still scroll), or by the arrow keys after its Move button was pressed.

import { answer } from '../lib/announce.js';
import { elementOf } from '../lib/dom.js';

/** @import { Tile } from './tile.js' */
/** @import { Wall } from './wall.js' */
/** @typedef {{ at: number, of: number }} Place counted from 1 */
/**
 * @typedef {object} Drag
 * @property {Tile} tile
 * @property {boolean} touch
 * @property {number} pointerId
 * @property {number} x where it began, in pixels
 * @property {number} y
 * @property {boolean} lifted
 * @property {Tile | null} over
 * @property {Timer} [timer]
 */

const DRAG_PIXELS = 6;
const HOLD_MS = 350;
const HOLD_PIXELS = 10;
const VIBRATION_MS = 10;

export class WallMove {
  #list;
  #wall;
  #onMove;
  /** @type {Drag | null} */
  #drag = null;
  /** @type {Tile | null} The tile that the arrow keys move. */
  #moving = null;

  /**
   * @param {HTMLElement} list
   * @param {Wall} wall
   * @param {(slug: string, to: string | number) => Place | null} onMove `to`: a slug, or a number of places; returns the
   *   new place, null without a change
   */
  constructor(list, wall, onMove) {
    this.#list = list;
    this.#wall = wall;
    this.#onMove = onMove;
    list.addEventListener('pointerdown', (event) => this.#start(event));
    addEventListener('pointermove', (event) => this.#follow(event));
    addEventListener('pointerup', (event) => this.#release(event, true));
    addEventListener('pointercancel', (event) => this.#release(event, false));
    // Only a lifted tile keeps the page from scrolling under the finger.
    list.addEventListener('touchmove', (event) => { if (this.#drag?.lifted) event.preventDefault(); }, { passive: false });
    list.addEventListener('contextmenu', (event) => { if (this.#drag?.touch) event.preventDefault(); });
    list.addEventListener('dragstart', (event) => event.preventDefault());
    list.addEventListener('focusout', ({ relatedTarget }) => {
      if (this.#moving && relatedTarget && wall.tileOf(relatedTarget) !== this.#moving) this.stop();
    });
  }

  /** Tells whether a tile is being moved now. */
  get busy() {
    return Boolean(this.#moving || this.#drag?.lifted);
  }

  get slug() {
    return this.#moving?.slug;
  }

  /**
   * Handles the Move button: the arrow keys move this tile until it is put down.
   * @param {Tile} tile
   */
  toggle(tile) {
    const same = this.#moving === tile;
    this.stop();
    if (same) return;
    this.#moving = tile;
    tile.setMoving(true);
    tile.focus();
    answer(`Moving ${tile.name}. Arrow keys move it, Enter puts it down.`);
  }

  stop() {
    if (!this.#moving) return;
    this.#moving.setMoving(false);
    answer(`${this.#moving.name} is put down.`);
    this.#moving = null;
  }

  /**
   * Handles a key that belongs to a move; returns whether it did.
   * @param {string} key
   */
  key(key) {
    if (!this.#moving) return false;
    if (key === 'Enter' || key === 'Escape' || key === ' ') {
      this.stop();
      return true;
    }
    const step = this.#wall.stepOf(key);
    if (!step) return false;
    this.#moveTo(this.#moving, step);
    return true;
  }

  /**
   * Continues with the tile's successor after the wall made it anew on another page.
   * @param {Tile | undefined} tile
   */
  follow(tile) {
    if (!this.#moving || !tile || tile === this.#moving || tile.slug !== this.#moving.slug) return;
    this.#moving = tile;
    tile.setMoving(true);
    tile.focus();
  }

  /**
   * @param {Tile} tile
   * @param {string | number} to
   */
  #moveTo(tile, to) {
    const place = this.#onMove(tile.slug, to);
    if (place) answer(`${tile.name}: place ${place.at} of ${place.of}.`);
  }

  /** @param {PointerEvent} event */
  #start(event) {
    if (event.button !== 0 || !event.isPrimary || this.#drag) return;
    if (document.fullscreenElement?.matches('.tile')) return;
    if (elementOf(event.target)?.closest('button, select, input, label, .controls:popover-open')) return;
    const tile = this.#wall.tileOf(event.target);
    if (!tile) return;
    const touch = event.pointerType === 'touch';
    this.#drag = { tile, touch, pointerId: event.pointerId, x: event.clientX, y: event.clientY, lifted: false, over: null };
    if (touch) this.#drag.timer = setTimeout(() => this.#lift(), HOLD_MS);
  }

  /** @param {PointerEvent} event */
  #follow(event) {
    const drag = this.#drag;
    if (!drag || event.pointerId !== drag.pointerId) return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    const distance = Math.hypot(dx, dy);
    if (!drag.lifted) {
      if (drag.touch && distance > HOLD_PIXELS) this.#end();
      else if (!drag.touch && distance > DRAG_PIXELS) this.#lift();
      if (!this.#drag?.lifted) return;
    }
    drag.tile.element.style.translate = `${dx}px ${dy}px`;
    this.#aim(drag, event.clientX, event.clientY);
  }

  #lift() {
    if (!this.#drag) return;
    this.#drag.lifted = true;
    this.#drag.tile.element.classList.add('lifted');
    this.#list.dataset.dragging = '';
    navigator.vibrate?.(VIBRATION_MS);
  }

  /**
   * @param {Drag} drag
   * @param {number} x
   * @param {number} y
   */
  #aim(drag, x, y) {
    const tiles = document.elementsFromPoint(x, y).map((one) => this.#wall.tileOf(one));
    const below = tiles.find((one) => one && one !== drag.tile) ?? null;
    if (below === drag.over) return;
    drag.over?.element.classList.remove('target');
    below?.element.classList.add('target');
    drag.over = below;
  }

  /**
   * @param {PointerEvent} event
   * @param {boolean} drop
   */
  #release(event, drop) {
    const drag = this.#drag;
    if (!drag || event.pointerId !== drag.pointerId) return;
    this.#end();
    if (!drag.lifted) return;
    // The click that ends a drag has no other effect.
    addEventListener('click', swallow, { capture: true, once: true });
    setTimeout(() => removeEventListener('click', swallow, { capture: true }));
    if (drop && drag.over) this.#moveTo(drag.tile, drag.over.slug);
  }

  #end() {
    if (!this.#drag) return;
    const { tile, over, timer } = this.#drag;
    clearTimeout(timer);
    this.#drag = null;
    tile.element.style.removeProperty('translate');
    tile.element.classList.remove('lifted');
    over?.element.classList.remove('target');
    delete this.#list.dataset.dragging;
  }
}

/** @param {Event} event */
function swallow(event) {
  event.preventDefault();
  event.stopPropagation();
}
