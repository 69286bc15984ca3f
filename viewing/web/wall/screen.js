// This module shows the screen with the wall: which cameras are on it now (search, filter, order, page), how they are laid
// out in the room there is, and what its keys do.

import { answer } from '../lib/announce.js';
import { byId, create } from '../lib/dom.js';
import { isKiosk, onKiosk, setKiosk } from '../lib/full-screen.js';
import { KIOSK_ROUTE, WALL_ROUTE } from '../lib/routes.js';
import { WallBar } from './bar.js';
import { cut, fit } from './layout.js';
import { WallMove } from './move.js';
import { arrange, countGroups, merged, moved } from './order.js';
import { chooseWall, keepOnly, wall as chosen } from './preferences.js';
import { Wall } from './wall.js';

/** @import { Camera } from '../lib/api-types.js' */
/** @import { Live } from '../lib/live.js' */

const SETTLE_MS = 60; // Changes within this time are shown together.
const MOST_DOTS = 12;

/** @param {string} id */
const at = (id) => byId(id, HTMLElement);

export class WallScreen {
  #live;
  #bar;
  #wall;
  #move;
  /** @type {Set<string>} Slugs that are hidden while their removal can be undone. */
  #gone = new Set();
  /** @type {string[]} Slugs on the wall, of all pages. */
  #order = [];
  #page = 0;
  #pages = 1;
  #tiles = 1;
  /** @type {Timer | undefined} */
  #pending;
  /** @type {Timer | undefined} */
  #turning;
  /** @type {string | null} A camera to reveal as soon as it is listed. */
  #wanted = null;

  /**
   * @param {Live} live
   * @param {{ onEdit: (camera: Camera) => void, onRemove: (camera: Camera) => void }} actions
   */
  constructor(live, { onEdit, onRemove }) {
    this.#live = live;
    this.#bar = new WallBar(() => {
      this.#page = 0;
      this.render();
      this.#restartTurning();
    });
    this.#wall = new Wall(at('wall'), { live, onEdit, onRemove, onMove: (tile) => this.#move.toggle(tile) });
    this.#move = new WallMove(at('wall'), this.#wall, (slug, to) => this.#moveTo(slug, to));
    for (const type of ['list', 'change', 'removed']) live.addEventListener(type, () => this.#renderSoon());
    new ResizeObserver(() => this.#renderSoon()).observe(at('room'));
    at('page-back').addEventListener('click', () => this.turn(-1));
    at('page-next').addEventListener('click', () => this.turn(1));
    at('kiosk').addEventListener('click', () => setKiosk(true));
    at('kiosk-end').addEventListener('click', () => setKiosk(false));
    onKiosk((kiosk) => {
      if (!kiosk && location.hash === KIOSK_ROUTE) history.replaceState(null, '', WALL_ROUTE);
      this.render();
    });
    this.#restartTurning();
  }

  /**
   * Hides a camera whose removal can still be undone, or shows it again.
   * @param {string} slug
   * @param {boolean} gone
   */
  setGone(slug, gone) {
    if (gone) this.#gone.add(slug);
    else this.#gone.delete(slug);
    this.render();
  }

  /**
   * Goes to a camera's tile, now or once the server has listed it.
   * @param {string} slug
   */
  reveal(slug) {
    this.#wanted = slug;
    this.render();
  }

  /**
   * Turns to another page; `round` continues at the other end.
   * @param {number} by
   * @param {{ round?: boolean }} [options]
   */
  turn(by, { round = false } = {}) {
    const to = round ? (this.#page + by + this.#pages) % this.#pages : this.#page + by;
    if (to < 0 || to >= this.#pages || to === this.#page) return;
    this.#page = to;
    this.render();
    if (round) return;
    answer(`Page ${to + 1} of ${this.#pages}.`);
    this.#restartTurning();
  }

  /**
   * Handles a key of the page; returns whether it had a meaning here.
   * @param {KeyboardEvent} event
   */
  key({ key }) {
    if (this.#move.key(key)) return true;
    if (key === 'PageDown' || key === 'PageUp') {
      if (this.#pages < 2) return false;
      this.turn(key === 'PageDown' ? 1 : -1);
      return true;
    }
    if (this.#wall.stepOf(key)) return this.#go(key);
    return this.#command(key.toLowerCase());
  }

  /** @param {string} key */
  #command(key) {
    const tile = this.#wall.current;
    switch (key) {
      case 'f':
        if (tile) tile.toggleFullScreen();
        else setKiosk(!isKiosk());
        return true;
      case 's':
        tile?.snapshot();
        return Boolean(tile);
      case 'm': {
        const on = tile?.toggleAudio();
        if (typeof on === 'boolean') answer(on ? 'Audio on.' : 'Audio off.');
        return Boolean(tile);
      }
      case 'escape':
        if (!isKiosk() || document.fullscreenElement) return false;
        setKiosk(false);
        return true;
      default:
        return false;
    }
  }

  render() {
    clearTimeout(this.#pending);
    this.#pending = undefined;
    if (!this.#live.loaded || at('wall-screen').hidden) return;
    const all = [...this.#live.cameras.values()].filter(({ slug }) => !this.#gone.has(slug));
    if (this.#live.total <= this.#live.cameras.size) keepOnly(this.#live.cameras);
    this.#bar.count(countGroups(all));
    const seen = arrange(all, { query: this.#bar.query, group: this.#bar.group, sort: chosen.sort, order: chosen.order });
    this.#order = seen.map(({ slug }) => slug);
    const layout = fit({ ...this.#room(), layout: chosen.layout, count: seen.length, kiosk: isKiosk() });
    this.#tiles = layout.tiles;
    this.#goToWanted();
    const { page, pages, from, to } = cut(seen.length, layout.tiles, this.#page);
    [this.#page, this.#pages] = [page, pages];
    this.#showPages(from, to, seen.length);
    this.#showEmpty(all.length, seen.length);
    this.#wall.show(seen.slice(from, to), layout);
    this.#move.follow(this.#wall.tile(this.#move.slug));
    if (this.#wanted && this.#wall.tile(this.#wanted)) {
      this.#wall.reveal(this.#wanted);
      this.#wanted = null;
    }
  }

  #renderSoon() {
    this.#pending ??= setTimeout(() => this.render(), SETTLE_MS);
  }

  #room() {
    const room = at('room');
    const gap = parseFloat(getComputedStyle(at('wall')).columnGap) || 0;
    return { width: room.clientWidth, height: room.clientHeight, gap };
  }

  #goToWanted() {
    if (!this.#wanted || !this.#live.cameras.has(this.#wanted)) return;
    const place = this.#order.indexOf(this.#wanted);
    if (place >= 0) this.#page = Math.floor(place / this.#tiles);
    else this.#wanted = null; // The search leaves it out.
  }

  /** @param {string} key */
  #go(key) {
    if (this.#wall.go(key)) return true;
    const by = Math.sign(this.#wall.stepOf(key));
    const before = this.#page;
    this.turn(by);
    if (before === this.#page) return false;
    this.#wall.reveal(this.#wall.slugs.at(by > 0 ? 0 : -1));
    return true;
  }

  /**
   * Moves a camera. Another sorting becomes the viewer's own order as it stands.
   * @param {string} slug
   * @param {string | number} to a slug, or a number of places
   */
  #moveTo(slug, to) {
    const from = this.#order.indexOf(slug);
    const target = typeof to === 'number' ? this.#order[Math.min(Math.max(0, from + to), this.#order.length - 1)] : to;
    const seen = moved(this.#order, slug, target);
    if (seen === this.#order) return null;
    const all = arrange([...this.#live.cameras.values()], { sort: chosen.sort, order: chosen.order }).map((one) => one.slug);
    chooseWall({ sort: 'own', order: merged(all, seen) });
    this.#bar.show();
    this.#page = Math.floor(seen.indexOf(slug) / this.#tiles);
    this.render();
    this.#wall.reveal(slug);
    return { at: seen.indexOf(slug) + 1, of: seen.length };
  }

  /**
   * @param {number} from
   * @param {number} to
   * @param {number} count
   */
  #showPages(from, to, count) {
    at('pages').hidden = this.#pages < 2;
    this.#bar.offerTurns(this.#pages > 1);
    if (this.#pages < 2) return;
    at('page-text').textContent = `${from + 1} to ${to} of ${count}`;
    byId('page-back', HTMLButtonElement).disabled = this.#page === 0;
    byId('page-next', HTMLButtonElement).disabled = this.#page === this.#pages - 1;
    const list = at('page-dots');
    const dots = this.#pages > MOST_DOTS ? 0 : this.#pages;
    while (list.childElementCount > dots) list.lastElementChild?.remove();
    while (list.childElementCount < dots) list.append(create('i'));
    [...list.children].forEach((dot, index) => dot.classList.toggle('on', index === this.#page));
  }

  /**
   * @param {number} all
   * @param {number} seen
   */
  #showEmpty(all, seen) {
    at('empty').hidden = all > 0;
    at('nothing').hidden = all === 0 || seen > 0;
    at('wall').hidden = seen === 0;
    const { cameras, total } = this.#live;
    at('partial').hidden = cameras.size >= total;
    at('partial').textContent = `Showing the first ${cameras.size} of ${total} cameras.`;
  }

  // Pages turn by themselves only while the viewer does nothing on the wall.
  #restartTurning() {
    clearInterval(this.#turning);
    this.#turning = undefined;
    if (!chosen.turn) return;
    this.#turning = setInterval(() => {
      const busy = document.hidden || this.#move.busy || document.querySelector('dialog[open], :popover-open')
        || document.fullscreenElement?.matches('.tile') || at('room').matches(':focus-within:has(:focus-visible)');
      if (!busy && this.#pages > 1) this.turn(1, { round: true });
    }, chosen.turn * 1000);
  }
}
