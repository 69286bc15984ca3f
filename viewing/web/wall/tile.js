// This module shows one tile of the wall: a camera's name, state, the age of its picture, and its buttons. tile-stage.js
// shows the pictures. All text from the server is set as text, never as HTML.

import * as api from '../lib/api.js';
import { announce } from '../lib/announce.js';
import { outageText, reasonText, stateName } from '../lib/camera-states.js';
import { byId, byTestId, elementOf, find, findAll, setText } from '../lib/dom.js';
import { enterFullScreen, isFullScreen, leaveFullScreen } from '../lib/full-screen.js';
import { cameraRoute } from '../lib/routes.js';
import { messageOf } from '../lib/text.js';
import { ago } from '../lib/time-format.js';
import { isMode } from '../players/players.js';
import { chooseMode } from './preferences.js';
import { toggleBeside } from './tile-menu.js';
import { TileStage } from './tile-stage.js';

/** @import { Camera } from '../lib/api-types.js' */
/** @import { Live } from '../lib/live.js' */
/** @import { Mode } from '../players/players.js' */
/**
 * @typedef {object} TileActions
 * @property {(camera: Camera) => void} onEdit
 * @property {(camera: Camera) => void} onRemove
 * @property {(tile: Tile) => void} onMove
 */

const ANNOUNCED_STATES = new Set(['running', 'reconnecting', 'auth_failed', 'failed', 'stopped']);
const STALE_MS = 3000;
/** @type {Record<string, string>} */
const OUTAGE_ICONS = { auth_failed: '#i-lock', stopped: '#i-paused' };

export class Tile {
  /** @type {Camera} */
  #camera;
  #stage;
  #live;

  /**
   * @param {Camera} camera
   * @param {{ live: Live, mode: Mode } & TileActions} options
   */
  constructor(camera, { live, mode, onEdit, onRemove, onMove }) {
    const { slug } = camera;
    this.slug = slug;
    this.#live = live;
    this.#camera = camera;
    const template = byId('tile-template', HTMLTemplateElement);
    this.element = find(document.importNode(template.content, true), '.slot', HTMLLIElement);
    this.article = find(this.element, '.tile', HTMLElement);
    this.link = find(this.article, '.name a', HTMLAnchorElement);
    const heading = find(this.article, '.name', HTMLElement);
    this.article.dataset.testid = `tile-${slug}`;
    this.article.dataset.slug = slug;
    heading.id = `name-${slug}`;
    this.article.setAttribute('aria-labelledby', heading.id);
    this.link.href = cameraRoute(slug);
    this.link.draggable = false;

    const stage = find(this.article, '.stage', HTMLElement);
    this.#stage = new TileStage(stage, { slug, onState: (message) => live.takeState({ slug, ...message }) });
    this.#wireModes(mode);
    this.#wireMenu();
    this.#snapshot.href = api.snapshotPath(slug);
    this.#button('edit').addEventListener('click', () => onEdit(this.#camera));
    this.#button('remove').addEventListener('click', () => onRemove(this.#camera));
    this.#button('start-stop').addEventListener('click', () => void this.#startOrStop());
    for (const button of this.#buttons('full')) button.addEventListener('click', () => this.toggleFullScreen());
    for (const button of this.#buttons('move')) button.addEventListener('click', () => onMove(this));
    stage.addEventListener('dblclick', () => this.toggleFullScreen());
    stage.addEventListener('click', ({ target }) => { if (!elementOf(target)?.closest('button, select')) this.focus(); });
    this.#showName();
    this.#showState();
    this.#stage.setMode(mode);
    this.tick();
  }

  get name() {
    return this.#camera.name || this.slug;
  }

  /** @param {Camera} camera */
  update(camera) {
    const before = this.#camera;
    if (camera === before) return;
    const nameBefore = this.name;
    this.#camera = camera;
    if (this.name !== nameBefore) this.#showName();
    this.#showState();
    const { state, reason } = camera;
    if (before.state !== state && ANNOUNCED_STATES.has(state)) {
      announce(this.name, `${stateName(state).toLowerCase()}. ${reasonText(reason)}`);
    }
  }

  /** Updates once a second what changes with time. */
  tick() {
    const age = this.#element('age');
    const own = this.#stage.tick();
    const ms = Number.isNaN(own) ? this.#live.age(this.slug) : own;
    setText(age, Number.isNaN(ms) ? '' : ago(ms));
    age.classList.toggle('stale', ms > STALE_MS);
    this.#showOutage();
  }

  /**
   * Sets how many tiles are on the wall, which decides the rate of its frames.
   * @param {number} tiles
   */
  setTileCount(tiles) {
    this.#stage.setTileCount(tiles);
  }

  focus() {
    this.link.focus({ preventScroll: true });
  }

  /**
   * Sets whether the Tab key leads to this tile.
   * @param {boolean} reachable
   */
  setReachable(reachable) {
    this.link.tabIndex = reachable ? 0 : -1;
  }

  /** @param {boolean} moving */
  setMoving(moving) {
    this.element.classList.toggle('moving', moving);
    for (const button of this.#buttons('move')) button.setAttribute('aria-pressed', String(moving));
  }

  toggleFullScreen() {
    if (isFullScreen(this.article)) leaveFullScreen();
    else enterFullScreen(this.article, this.#stage.video);
  }

  /** Mutes or unmutes, and returns whether audio is on; null where there is none. */
  toggleAudio() {
    return this.#stage.toggleAudio();
  }

  snapshot() {
    this.#snapshot.click();
  }

  destroy() {
    this.#stage.destroy();
    this.element.remove();
  }

  #showName() {
    const { name } = this;
    this.link.textContent = this.link.title = name;
    this.#stage.setName(name);
    find(this.element, 'legend', HTMLElement).textContent = `How to watch ${name}`;
    find(this.element, '.controls-name', HTMLElement).textContent = name;
    this.#menu.setAttribute('aria-label', `Controls of ${name}`);
    this.#button('tile-menu').setAttribute('aria-label', `Controls of ${name}`);
    this.#snapshot.setAttribute('aria-label', `Snapshot of ${name}, new tab`);
    this.#button('edit').setAttribute('aria-label', `Edit ${name}`);
    this.#button('remove').setAttribute('aria-label', `Remove ${name}`);
    for (const button of this.#buttons('full')) button.setAttribute('aria-label', `${name} in full screen`);
    for (const button of this.#buttons('move')) button.setAttribute('aria-label', `Move ${name}`);
  }

  #showState() {
    const { state } = this.#camera;
    const badge = this.#element('state');
    if (badge.dataset.state !== state) {
      badge.dataset.state = this.article.dataset.state = state;
      badge.textContent = badge.title = stateName(state);
    }
    const reason = reasonText(this.#camera.reason);
    const line = this.#element('reason');
    if (line.textContent !== reason) line.textContent = line.title = reason;
    line.hidden = !reason;
    const stopped = state === 'stopped';
    this.#showStartStop(stopped);
    find(this.element, '.away use', SVGUseElement).setAttribute('href', OUTAGE_ICONS[state] ?? '#i-away');
    this.#stage.setStopped(stopped);
    this.#showOutage();
  }

  /** @param {boolean} stopped */
  #showStartStop(stopped) {
    const button = this.#button('start-stop');
    const label = stopped ? 'Start' : 'Stop';
    find(button, 'span', HTMLElement).textContent = label;
    find(button, 'use', SVGUseElement).setAttribute('href', stopped ? '#i-start' : '#i-stop');
    button.title = label;
    button.setAttribute('aria-label', `${label} ${this.name}`);
  }

  #showOutage() {
    const panel = this.#element('away');
    const outage = outageText(this.#camera, this.#live.now());
    panel.hidden = !outage;
    if (!outage) return;
    const { what, lasting, since } = outage;
    setText(find(panel, '.away-line b', HTMLElement), what);
    setText(find(panel, '.away-lasting', HTMLElement), lasting);
    setText(find(panel, '.away-since', HTMLElement), since && `, ${since}`);
  }

  /** @param {Mode} mode */
  #wireModes(mode) {
    for (const radio of findAll(this.element, '.modes input', HTMLInputElement)) {
      radio.name = `watch-${this.slug}`;
      radio.checked = radio.value === mode;
      radio.addEventListener('change', () => {
        if (!isMode(radio.value)) return;
        chooseMode(this.slug, radio.value);
        this.#stage.setMode(radio.value);
      });
    }
  }

  #wireMenu() {
    const button = this.#button('tile-menu');
    const menu = this.#menu;
    button.addEventListener('click', () => toggleBeside(menu, button));
    menu.addEventListener('toggle', (event) => {
      const open = /** @type {ToggleEvent} */ (event).newState === 'open';
      button.setAttribute('aria-expanded', String(open));
      this.element.classList.toggle('open', open);
    });
    // An action closes the menu; the ways to watch are tried out while it is open.
    find(menu, '.buttons', HTMLElement).addEventListener('click', () => {
      if (menu.matches(':popover-open')) menu.hidePopover();
    });
  }

  async #startOrStop() {
    const start = this.#camera.state === 'stopped';
    const button = this.#button('start-stop');
    const problem = this.#element('error');
    problem.hidden = true;
    button.disabled = true;
    try {
      await (start ? api.startCamera(this.slug) : api.stopCamera(this.slug));
    } catch (error) {
      problem.textContent = messageOf(error);
      problem.hidden = false;
    } finally {
      const lost = document.activeElement === document.body;
      button.disabled = false;
      if (lost && button.checkVisibility()) button.focus(); // Disabling the button took the focus away.
    }
  }

  get #menu() {
    return find(this.element, '.controls', HTMLElement);
  }

  get #snapshot() {
    return byTestId(this.element, 'snapshot', HTMLAnchorElement);
  }

  /** @param {string} id */
  #button(id) {
    return byTestId(this.element, id, HTMLButtonElement);
  }

  /** @param {string} id */
  #element(id) {
    return byTestId(this.element, id, HTMLElement);
  }

  /** @param {string} action */
  #buttons(action) {
    return findAll(this.element, `[data-act="${action}"]`, HTMLButtonElement);
  }
}
