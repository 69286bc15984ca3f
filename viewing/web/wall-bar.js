// Knows the bar above the wall: search, filter by state, sorting, layout, turning pages. It holds what is set there and
// says when it changed.

import { GROUPS } from './camera-states.js';
import { TURNS, chooseWall, wall } from './choices.js';
import { LAYOUTS } from './wall-layout.js';
import { SORTS } from './wall-order.js';

const at = (id) => document.getElementById(id);
const layoutName = (tiles) => (tiles === 'auto' ? 'Auto layout' : tiles === 1 ? '1 tile' : `${tiles} tiles`);

export class WallBar {
  query = '';
  group = 'all';
  #onChange;
  #chips = new Map();

  constructor(onChange) {
    this.#onChange = onChange;
    at('search').addEventListener('input', () => this.#set({ query: at('search').value.trim() }));
    at('search').addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !at('search').value) return;
      event.stopPropagation();
      this.clear();
    });
    this.#pick('sort', SORTS, (sort) => sort);
    this.#pick('layout', LAYOUTS.map((one) => [one, layoutName(one)]), (text) => Number(text) || text);
    this.#pick('turn', TURNS.map((one) => [one, one ? `Turn every ${one} s` : 'Turn by hand']), Number);
    at('show-all').addEventListener('click', () => {
      this.clear();
      at('search').focus();
    });
    for (const [key, label] of GROUPS) this.#chips.set(key, this.#chip(key, label));
    at('groups').append(...this.#chips.values());
  }

  /** Says how many cameras each group has; an empty one is left out unless it is chosen. */
  count(counts) {
    for (const [key, chip] of this.#chips) {
      const text = String(counts[key]);
      if (chip.lastElementChild.textContent !== text) chip.lastElementChild.textContent = text;
      chip.hidden = key !== 'all' && key !== this.group && !counts[key];
    }
  }

  /** Whether pages can be turned by themselves is asked only where there are several. */
  offerTurns(several) {
    at('turn-pick').hidden = !several;
  }

  clear() {
    at('search').value = '';
    this.#set({ query: '', group: 'all' });
  }

  show() {
    for (const id of ['sort', 'layout', 'turn']) at(id).value = String(wall[id]);
    for (const [key, chip] of this.#chips) chip.setAttribute('aria-pressed', String(key === this.group));
  }

  #pick(id, options, read) {
    at(id).replaceChildren(...options.map(([value, label]) => new Option(label, value)));
    at(id).value = String(wall[id]);
    at(id).addEventListener('change', () => {
      chooseWall({ [id]: read(at(id).value) });
      this.#onChange();
    });
  }

  #chip(key, label) {
    const chip = document.createElement('button');
    chip.type = 'button';
    chip.className = 'chip';
    chip.dataset.group = key;
    chip.dataset.testid = `group-${key}`;
    chip.setAttribute('aria-pressed', String(key === this.group));
    const [text, number] = [document.createElement('span'), document.createElement('b')];
    text.textContent = label;
    number.textContent = '0';
    chip.append(text, ' ', number);
    chip.addEventListener('click', () => this.#set({ group: this.group === key ? 'all' : key }));
    return chip;
  }

  #set(change) {
    Object.assign(this, change);
    this.show();
    this.#onChange();
  }
}
