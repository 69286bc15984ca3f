// Knows the screen with the wall: which cameras are on it now (search, filter, order, page), how they are laid out in the
// room there is, and what its keys do.

import { answer } from './announce.js';
import { chooseWall, keepOnly, wall as chosen } from './choices.js';
import { isKiosk, onKiosk, setKiosk } from './full-screen.js';
import { WallBar } from './wall-bar.js';
import { cut, fit } from './wall-layout.js';
import { WallMove } from './wall-move.js';
import { arrange, countGroups, merged, moved } from './wall-order.js';
import { Wall } from './wall.js';

const SETTLE_MS = 60; // many changes at once make one new wall
const MOST_DOTS = 12;

const at = (id) => document.getElementById(id);

export class WallScreen {
  #live;
  #bar;
  #wall;
  #move;
  #gone = new Set(); // slugs that are hidden while their removal can be undone
  #order = []; // slugs on the wall, all pages
  #page = 0;
  #pages = 1;
  #tiles = 1;
  #pending = null;
  #turning = null;
  #wanted = null; // a camera to go to as soon as it is listed

  constructor(live, { onEdit, onRemove }) {
    this.#live = live;
    this.#bar = new WallBar(() => {
      this.#page = 0;
      this.render();
      this.#startTurning();
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
      if (!kiosk && location.hash === '#/kiosk') history.replaceState(null, '', '#/');
      this.render();
    });
    this.#startTurning();
  }

  /** Hides a camera whose removal can still be undone, or shows it again. */
  setGone(slug, gone) {
    if (gone) this.#gone.add(slug);
    else this.#gone.delete(slug);
    this.render();
  }

  /** Goes to a camera's tile, now or once the server has listed it. */
  reveal(slug) {
    this.#wanted = slug;
    this.render();
  }

  /** The next page, or the one before; round the end when pages turn by themselves. */
  turn(by, { round = false } = {}) {
    const to = round ? (this.#page + by + this.#pages) % this.#pages : this.#page + by;
    if (to < 0 || to >= this.#pages || to === this.#page) return;
    this.#page = to;
    this.render();
    if (round) return;
    answer(`Page ${to + 1} of ${this.#pages}.`);
    this.#startTurning();
  }

  /** Takes a key that was pressed on the page; true when it meant something here. */
  key({ key }) {
    if (this.#move.key(key)) return true;
    const tile = this.#wall.current;
    if (key === 'PageDown' || key === 'PageUp') {
      if (this.#pages < 2) return false;
      this.turn(key === 'PageDown' ? 1 : -1);
      return true;
    }
    if (this.#wall.stepOf(key)) return this.#go(key);
    switch (key.toLowerCase()) {
      case 'f':
        if (tile) tile.toggleFullScreen();
        else setKiosk(!isKiosk());
        return true;
      case 's':
        tile?.snapshot();
        return Boolean(tile);
      case 'm': {
        const on = tile?.toggleSound();
        if (typeof on === 'boolean') answer(on ? 'Sound on.' : 'Sound off.');
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
    this.#pending = null;
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
    const gap = parseFloat(getComputedStyle(at('wall')).columnGap) || 0;
    return { width: at('room').clientWidth, height: at('room').clientHeight, gap };
  }

  #goToWanted() {
    if (!this.#wanted || !this.#live.cameras.has(this.#wanted)) return;
    const place = this.#order.indexOf(this.#wanted);
    if (place >= 0) this.#page = Math.floor(place / this.#tiles);
    else this.#wanted = null; // the search leaves it out
  }

  #go(key) {
    if (this.#wall.go(key)) return true;
    const by = Math.sign(this.#wall.stepOf(key));
    const before = this.#page;
    this.turn(by);
    if (before === this.#page) return false;
    this.#wall.reveal(this.#wall.slugs.at(by > 0 ? 0 : -1));
    return true;
  }

  // `to` is a slug, or a number of places. What was sorted some other way becomes the person's own order as it stands.
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

  #showPages(from, to, count) {
    at('pages').hidden = this.#pages < 2;
    this.#bar.offerTurns(this.#pages > 1);
    if (this.#pages < 2) return;
    at('page-text').textContent = `${from + 1} to ${to} of ${count}`;
    at('page-back').disabled = this.#page === 0;
    at('page-next').disabled = this.#page === this.#pages - 1;
    const dots = this.#pages > MOST_DOTS ? 0 : this.#pages;
    while (at('page-dots').childElementCount > dots) at('page-dots').lastElementChild.remove();
    while (at('page-dots').childElementCount < dots) at('page-dots').append(document.createElement('i'));
    [...at('page-dots').children].forEach((dot, index) => dot.classList.toggle('on', index === this.#page));
  }

  #showEmpty(all, seen) {
    at('empty').hidden = all > 0;
    at('nothing').hidden = all === 0 || seen > 0;
    at('wall').hidden = seen === 0;
    const { cameras, total } = this.#live;
    at('partial').hidden = cameras.size >= total;
    at('partial').textContent = `Showing the first ${cameras.size} of ${total} cameras.`;
  }

  // Pages turn by themselves only over a wall that nobody is busy with.
  #startTurning() {
    clearInterval(this.#turning);
    this.#turning = null;
    if (!chosen.turn) return;
    this.#turning = setInterval(() => {
      const busy = document.hidden || this.#move.busy || document.querySelector('dialog[open], :popover-open')
        || document.fullscreenElement?.matches('.tile') || at('room').matches(':focus-within:has(:focus-visible)');
      if (!busy && this.#pages > 1) this.turn(1, { round: true });
    }, chosen.turn * 1000);
  }
}
