// Knows one tile of the wall: a camera's name, state, the age of its picture, and its buttons. Pictures are
// tile-stage.js' matter. All text from the server goes through textContent.

import * as api from './api.js';
import { announce } from './announce.js';
import { awayWords, reasonText, stateName } from './camera-states.js';
import { choose } from './choices.js';
import { enterFullScreen, isFullScreen, leaveFullScreen } from './full-screen.js';
import { openBeside } from './tile-menu.js';
import { TileStage } from './tile-stage.js';
import { ago } from './time-words.js';

const WORTH_SAYING = new Set(['running', 'reconnecting', 'auth_failed', 'failed', 'stopped']);
const STALE_MS = 3000;
const AWAY_ICONS = { auth_failed: '#i-lock', stopped: '#i-paused' };

export class Tile {
  #camera = {};
  #find;
  #act;
  #stage;
  #live;

  /** `onEdit(camera)`, `onRemove(camera)`, `onMove(tile)` are the wall's answers to the buttons. */
  constructor(camera, { live, mode, onEdit, onRemove, onMove }) {
    const { slug } = camera;
    this.slug = slug;
    this.#live = live;
    this.element = document.getElementById('tile-template').content.firstElementChild.cloneNode(true);
    this.article = this.element.firstElementChild;
    this.link = this.article.querySelector('.name a');
    this.#find = (testid) => this.element.querySelector(`[data-testid="${testid}"]`);
    this.#act = (act) => this.element.querySelectorAll(`[data-act="${act}"]`);
    this.article.dataset.testid = `tile-${slug}`;
    this.article.dataset.slug = slug;
    this.link.parentElement.id = `name-${slug}`;
    this.link.href = `#/camera/${encodeURIComponent(slug)}`;
    this.link.draggable = false;
    this.article.setAttribute('aria-labelledby', `name-${slug}`);

    const stage = this.article.querySelector('.stage');
    this.#stage = new TileStage(stage, { slug, onEvent: (message) => live.heard({ slug, ...message }) });
    this.#wireModes(mode);
    this.#wireMenu();
    this.#find('snapshot').href = api.snapshotPath(slug);
    this.#find('edit').addEventListener('click', () => onEdit(this.#camera));
    this.#find('remove').addEventListener('click', () => onRemove(this.#camera));
    this.#find('start-stop').addEventListener('click', () => this.#startOrStop());
    for (const button of this.#act('full')) button.addEventListener('click', () => this.toggleFullScreen());
    for (const button of this.#act('move')) button.addEventListener('click', () => onMove(this));
    stage.addEventListener('dblclick', () => this.toggleFullScreen());
    stage.addEventListener('click', ({ target }) => target.closest('button, select') || this.focus());
    this.update(camera);
    this.#stage.setMode(mode);
    this.tick();
  }

  get name() {
    return this.#camera.name || this.slug;
  }

  update(camera) {
    const before = this.#camera;
    if (camera === before) return;
    this.#camera = camera;
    if (this.name !== (before.name || before.slug)) this.#showName();
    this.#showState(before.state);
  }

  /** Once a second: what ages by itself. */
  tick() {
    const age = this.#find('age');
    const own = this.#stage.tick();
    const ms = Number.isNaN(own) ? this.#live.age(this.slug) : own;
    const text = Number.isNaN(ms) ? '' : ago(ms);
    if (age.textContent !== text) age.textContent = text;
    age.classList.toggle('stale', ms > STALE_MS);
    this.#showAway();
  }

  /** How many tiles are on the wall decides how often its frames are sent. */
  setCrowd(tiles) {
    this.#stage.setCrowd(tiles);
  }

  focus() {
    this.link.focus({ preventScroll: true });
  }

  setReachable(reachable) {
    this.link.tabIndex = reachable ? 0 : -1;
  }

  setMoving(moving) {
    this.element.classList.toggle('moving', moving);
    for (const button of this.#act('move')) button.setAttribute('aria-pressed', String(moving));
  }

  toggleFullScreen() {
    if (isFullScreen(this.article)) leaveFullScreen();
    else enterFullScreen(this.article, this.#find('hls-video'));
  }

  toggleSound() {
    return this.#stage.toggleSound();
  }

  snapshot() {
    this.#find('snapshot').click();
  }

  destroy() {
    this.#stage.destroy();
    this.element.remove();
  }

  #showName() {
    const { name } = this;
    this.link.textContent = this.link.title = name;
    this.#stage.setName(name);
    this.element.querySelector('legend').textContent = `How to watch ${name}`;
    this.element.querySelector('.controls-name').textContent = name;
    this.element.querySelector('.controls').setAttribute('aria-label', `Controls of ${name}`);
    this.#find('snapshot').setAttribute('aria-label', `Snapshot of ${name}, new tab`);
    this.#find('edit').setAttribute('aria-label', `Edit ${name}`);
    this.#find('remove').setAttribute('aria-label', `Remove ${name}`);
    this.#find('tile-menu').setAttribute('aria-label', `Controls of ${name}`);
    for (const button of this.#act('full')) button.setAttribute('aria-label', `${name} in full screen`);
    for (const button of this.#act('move')) button.setAttribute('aria-label', `Move ${name}`);
  }

  #showState(before) {
    const { state } = this.#camera;
    const reason = reasonText(this.#camera.reason);
    const badge = this.#find('state');
    if (badge.dataset.state !== state) {
      badge.dataset.state = this.article.dataset.state = state;
      badge.textContent = badge.title = stateName(state);
    }
    const said = this.#find('reason');
    if (said.textContent !== reason) said.textContent = said.title = reason;
    said.hidden = !reason;
    const stopped = state === 'stopped';
    const button = this.#find('start-stop');
    button.lastElementChild.textContent = button.title = stopped ? 'Start' : 'Stop';
    button.querySelector('use').setAttribute('href', stopped ? '#i-start' : '#i-stop');
    button.setAttribute('aria-label', `${button.title} ${this.name}`);
    this.element.querySelector('.away use').setAttribute('href', AWAY_ICONS[state] ?? '#i-away');
    this.#stage.setStopped(stopped);
    this.#showAway();
    if (before !== undefined && before !== state && WORTH_SAYING.has(state)) {
      announce(this.name, `${stateName(state).toLowerCase()}. ${reason}`);
    }
  }

  #showAway() {
    const away = this.#find('away');
    const words = awayWords(this.#camera, this.#live.now());
    away.hidden = !words;
    if (!words) return;
    const [what, lasting, since] = away.querySelector('.away-line').children;
    const parts = [[what, words.what], [lasting, words.lasting], [since, words.since && `, ${words.since}`]];
    for (const [element, text] of parts) if (element.textContent !== text) element.textContent = text;
  }

  #wireModes(mode) {
    for (const radio of this.element.querySelectorAll('.modes input')) {
      radio.name = `watch-${this.slug}`;
      radio.checked = radio.value === mode;
      radio.addEventListener('change', () => {
        choose(this.slug, radio.value);
        this.#stage.setMode(radio.value);
      });
    }
  }

  #wireMenu() {
    const button = this.#find('tile-menu');
    const menu = this.element.querySelector('.controls');
    button.addEventListener('click', () => openBeside(menu, button));
    menu.addEventListener('toggle', ({ newState }) => {
      button.setAttribute('aria-expanded', String(newState === 'open'));
      this.element.classList.toggle('open', newState === 'open');
    });
    // What was chosen from the menu is done elsewhere; how to watch is tried out with the menu open.
    menu.querySelector('.buttons').addEventListener('click', () => menu.matches(':popover-open') && menu.hidePopover());
  }

  async #startOrStop() {
    const start = this.#camera.state === 'stopped';
    const button = this.#find('start-stop');
    const problem = this.#find('error');
    problem.hidden = true;
    button.disabled = true;
    try {
      await (start ? api.startCamera(this.slug) : api.stopCamera(this.slug));
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      const lost = document.activeElement === document.body;
      button.disabled = false;
      if (lost && button.checkVisibility()) button.focus(); // disabling took the focus away
    }
  }
}
