// Knows how a tile is moved to another place: dragged by mouse or pen, by a finger that rests on it first (so that a
// finger can still scroll), or by the arrow keys once its Move button was pressed.

import { answer } from './announce.js';

const DRAG_PIXELS = 6;
const HOLD_MS = 350;
const HOLD_PIXELS = 10;

export class WallMove {
  #list;
  #wall;
  #onMove; // (slug, target slug) -> place as {at, of}
  #drag = null; // {tile, pointerId, x, y, lifted, timer, over}
  #moving = null; // the tile that arrow keys move

  constructor(list, wall, onMove) {
    this.#list = list;
    this.#wall = wall;
    this.#onMove = onMove;
    list.addEventListener('pointerdown', (event) => this.#take(event));
    addEventListener('pointermove', (event) => this.#follow(event));
    addEventListener('pointerup', (event) => this.#release(event, true));
    addEventListener('pointercancel', (event) => this.#release(event, false));
    // Only a tile that is lifted keeps the page from scrolling under the finger.
    list.addEventListener('touchmove', (event) => this.#drag?.lifted && event.preventDefault(), { passive: false });
    list.addEventListener('contextmenu', (event) => this.#drag?.touch && event.preventDefault());
    list.addEventListener('dragstart', (event) => event.preventDefault());
    list.addEventListener('focusout', ({ relatedTarget }) => {
      if (this.#moving && relatedTarget && this.#wall.tileOf(relatedTarget) !== this.#moving) this.stop();
    });
  }

  /** Whether something is being moved now. */
  get busy() {
    return Boolean(this.#moving || this.#drag?.lifted);
  }

  /** The Move button: arrow keys move this tile until it is put down. */
  toggle(tile) {
    if (this.#moving === tile) return this.stop();
    this.stop();
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

  /** Takes the keys that belong to a move; true when it did. */
  key(key) {
    if (!this.#moving) return false;
    if (key === 'Enter' || key === 'Escape' || key === ' ') {
      this.stop();
      return true;
    }
    const step = this.#wall.stepOf(key);
    if (!step) return false;
    const tile = this.#moving;
    const place = this.#onMove(tile.slug, step);
    if (place) answer(`${tile.name}: place ${place.at} of ${place.of}.`);
    return true;
  }

  /** The tile was made anew on another page of the wall. */
  follow(tile) {
    if (!this.#moving || !tile || tile === this.#moving || tile.slug !== this.#moving.slug) return;
    this.#moving = tile;
    tile.setMoving(true);
    tile.focus();
  }

  get slug() {
    return this.#moving?.slug;
  }

  #take(event) {
    if (event.button !== 0 || !event.isPrimary || this.#drag) return;
    if (document.fullscreenElement?.matches('.tile') || event.target.closest('button, select, input, label, .controls:popover-open')) return;
    const tile = this.#wall.tileOf(event.target);
    if (!tile) return;
    const touch = event.pointerType === 'touch';
    this.#drag = { tile, touch, pointerId: event.pointerId, x: event.clientX, y: event.clientY, lifted: false, over: null };
    if (touch) this.#drag.timer = setTimeout(() => this.#lift(), HOLD_MS);
  }

  #follow(event) {
    const drag = this.#drag;
    if (!drag || event.pointerId !== drag.pointerId) return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    const far = Math.hypot(dx, dy);
    if (!drag.lifted) {
      if (drag.touch && far > HOLD_PIXELS) this.#end();
      else if (!drag.touch && far > DRAG_PIXELS) this.#lift();
      if (!this.#drag?.lifted) return;
    }
    drag.tile.element.style.translate = `${dx}px ${dy}px`;
    this.#aim(event.clientX, event.clientY);
  }

  #lift() {
    const { tile } = this.#drag;
    this.#drag.lifted = true;
    tile.element.classList.add('lifted');
    this.#list.dataset.dragging = '';
    navigator.vibrate?.(10);
  }

  #aim(x, y) {
    const { tile } = this.#drag;
    const below = document.elementsFromPoint(x, y).map((one) => this.#wall.tileOf(one)).find((one) => one && one !== tile);
    if (below === this.#drag.over) return;
    this.#drag.over?.element.classList.remove('target');
    below?.element.classList.add('target');
    this.#drag.over = below ?? null;
  }

  #release(event, drop) {
    const drag = this.#drag;
    if (!drag || event.pointerId !== drag.pointerId) return;
    this.#end();
    if (!drag.lifted) return;
    // The click that ends a drag opens nothing.
    addEventListener('click', swallow, { capture: true, once: true });
    setTimeout(() => removeEventListener('click', swallow, { capture: true }));
    if (!drop || !drag.over) return;
    const place = this.#onMove(drag.tile.slug, drag.over.slug);
    if (place) answer(`${drag.tile.name}: place ${place.at} of ${place.of}.`);
  }

  #end() {
    const { tile, over, timer } = this.#drag;
    clearTimeout(timer);
    this.#drag = null;
    tile.element.style.removeProperty('translate');
    tile.element.classList.remove('lifted');
    over?.element.classList.remove('target');
    delete this.#list.dataset.dragging;
  }
}

function swallow(event) {
  event.preventDefault();
  event.stopPropagation();
}
