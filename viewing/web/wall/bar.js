// This module handles the bar above the wall: search, filter by state, sorting, layout, turning pages. It holds the search
// and the filter, and reports changes.

import { GROUPS } from '../lib/camera-states.js';
import { byId, create, setText } from '../lib/dom.js';
import { LAYOUTS } from './layout.js';
import { SORTS } from './order.js';
import { TURNS, chooseWall, wall } from './preferences.js';

/** @import { Layout } from './layout.js' */
/** @typedef {'sort' | 'layout' | 'turn'} Choice */

/** @param {Layout} tiles */
const layoutName = (tiles) => (tiles === 'auto' ? 'Auto layout' : tiles === 1 ? '1 tile' : `${tiles} tiles`);

/** @param {number} seconds */
const turnName = (seconds) => (seconds ? `Turn every ${seconds} s` : 'Turn manually');

/** @param {Choice} id */
const select = (id) => byId(id, HTMLSelectElement);

export class WallBar {
  query = '';
  group = 'all';
  #onChange;
  #search = byId('search', HTMLInputElement);
  /** @type {Map<string, HTMLButtonElement>} One for each of GROUPS. */
  #chips = new Map();

  /** @param {() => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#search.addEventListener('input', () => this.#set({ query: this.#search.value.trim() }));
    this.#search.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.#search.value) return;
      event.stopPropagation();
      this.clear();
    });
    this.#fill('sort', SORTS, (sort) => ({ sort: SORTS.find(([key]) => key === sort)?.[0] }));
    this.#fill('layout', LAYOUTS.map((one) => [one, layoutName(one)]), (text) => ({ layout: Number(text) || 'auto' }));
    this.#fill('turn', TURNS.map((one) => [one, turnName(one)]), (text) => ({ turn: Number(text) }));
    byId('show-all', HTMLElement).addEventListener('click', () => {
      this.clear();
      this.#search.focus();
    });
    for (const [key, label] of GROUPS) this.#chips.set(key, this.#chip(key, label));
    byId('groups', HTMLElement).append(...this.#chips.values());
  }

  /**
   * Shows how many cameras each group has; an empty one is left out unless it is chosen.
   * @param {Record<string, number>} counts
   */
  count(counts) {
    for (const [key, chip] of this.#chips) {
      const [, number] = chip.children;
      setText(number, String(counts[key]));
      chip.hidden = key !== 'all' && key !== this.group && !counts[key];
    }
  }

  /**
   * Offers automatic turning only where there are several pages.
   * @param {boolean} several
   */
  offerTurns(several) {
    byId('turn-pick', HTMLElement).hidden = !several;
  }

  clear() {
    this.#search.value = '';
    this.#set({ query: '', group: 'all' });
  }

  show() {
    select('sort').value = wall.sort;
    select('layout').value = String(wall.layout);
    select('turn').value = String(wall.turn);
    for (const [key, chip] of this.#chips) chip.setAttribute('aria-pressed', String(key === this.group));
  }

  /**
   * @param {Choice} id
   * @param {[value: string | number, label: string][]} options
   * @param {(value: string) => Parameters<typeof chooseWall>[0]} read
   */
  #fill(id, options, read) {
    const element = select(id);
    element.replaceChildren(...options.map(([value, label]) => new Option(label, String(value))));
    element.value = String(wall[id]);
    element.addEventListener('change', () => {
      chooseWall(read(element.value));
      this.#onChange();
    });
  }

  /**
   * @param {string} key
   * @param {string} label
   */
  #chip(key, label) {
    const chip = create('button', { className: 'chip' });
    chip.type = 'button';
    chip.dataset.group = key;
    chip.dataset.testid = `group-${key}`;
    chip.setAttribute('aria-pressed', String(key === this.group));
    chip.append(create('span', { text: label }), ' ', create('b', { text: '0' }));
    chip.addEventListener('click', () => this.#set({ group: this.group === key ? 'all' : key }));
    return chip;
  }

  /** @param {{ query?: string, group?: string }} change */
  #set({ query = this.query, group = this.group }) {
    this.query = query;
    this.group = group;
    this.show();
    this.#onChange();
  }
}
