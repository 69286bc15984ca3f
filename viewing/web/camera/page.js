// This module shows the page of one camera: its pictures, the recent ages of its pictures, the facts of its stream, the
// actions of an operator, and its addresses. It has its own server-sent events.

import * as api from '../lib/api.js';
import { reasonText, stateName } from '../lib/camera-states.js';
import { byPart, byTestId, create, find, findAll, setText } from '../lib/dom.js';
import { download, fileName } from '../lib/download.js';
import { counted, messageOf } from '../lib/text.js';
import { fileStamp } from '../lib/time-format.js';
import { isMode } from '../players/players.js';
import { factsOf } from './facts.js';
import { cameraPageParts } from './page-markup.js';
import { addressesOf, copyRow, snippetsOf } from './sharing.js';
import { Sparkline } from './sparkline.js';
import { CameraStage } from './stage.js';
import { StreamEvents } from './stream-events.js';

/** @import { Camera, StateMessage, Status } from '../lib/api-types.js' */
/** @import { Live } from '../lib/live.js' */
/** @import { Summary } from './sparkline.js' */
/** @typedef {{ onEdit: (camera: Camera) => void, onRemove: (camera: Camera) => void }} Actions */

const TICK_MS = 1000;
const SPARK_SPANS = [60, 180, 600]; // seconds; the line grows with what is known, up to the last
const SPARK_SECONDS = Math.max(...SPARK_SPANS);
const SPARK_LEAST_MS = 1000;
const AGE_VALID_MS = 3500; // Ages come every second; an age without a newer one for so long is unknown.
const STATUS_MS = 10000; // Rates and viewers change without an event.
const LIST_EVENTS = ['list', 'change', 'removed'];

/**
 * Shows the camera in `container` until it is closed. An operator's wish to edit or remove it goes to `actions`.
 * @param {string} slug
 * @param {HTMLElement} container
 * @param {Live} live
 * @param {Actions} actions
 * @returns {{ close: () => void }}
 */
export function openCamera(slug, container, live, actions) {
  const page = new CameraPage(slug, container, live, actions);
  return { close: () => page.close() };
}

class CameraPage {
  #slug;
  #container;
  #live;
  #page;
  #gone;
  #stage;
  #spark;
  #events;
  /** @type {Camera} */
  #camera;
  /** @type {Status} */
  #status = {};
  #statusAt = 0;
  #asking = false;
  #askAgain = false;
  #age = { ms: NaN, at: 0 };
  #sampledAt = performance.now();
  #marks = 0; // restarts since the last sample
  #clock;
  #closed = false;

  /**
   * @param {string} slug
   * @param {HTMLElement} container
   * @param {Live} live
   * @param {Actions} actions
   */
  constructor(slug, container, live, actions) {
    this.#slug = slug;
    this.#container = container;
    this.#live = live;
    const { page, gone } = cameraPageParts();
    this.#page = page;
    this.#gone = gone;
    container.replaceChildren(page);
    this.#stage = new CameraStage(find(page, '.cp-stage', HTMLElement), { slug, onState: (message) => this.#takeState(message) });
    this.#wireModes();
    this.#wireActions(actions);
    this.#spark = new Sparkline({ spans: SPARK_SPANS, least: SPARK_LEAST_MS, format: seconds, describe });
    this.#part('spark').replaceWith(this.#spark.element);
    this.#events = new StreamEvents(slug, {
      resync: () => void this.#ask(),
      stream: (camera) => this.#takeCamera(camera),
      removed: (camera) => { if (camera?.slug === slug) this.#showGone('This camera was removed.'); },
      ages: (message) => this.#takeAge(message?.ages?.[slug]),
    });
    for (const type of LIST_EVENTS) live.addEventListener(type, this.#onList);
    document.addEventListener('visibilitychange', this.#onVisibility);
    this.#camera = live.cameras.get(slug) ?? { slug, state: '' };
    this.#show(this.#camera, null);
    this.#onList();
    this.#listen();
    void this.#ask();
    this.#clock = setInterval(() => this.#tick(), TICK_MS);
    find(page, '.cp-name', HTMLElement).focus({ preventScroll: true });
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#clock);
    this.#events.close();
    for (const type of LIST_EVENTS) this.#live.removeEventListener(type, this.#onList);
    document.removeEventListener('visibilitychange', this.#onVisibility);
    this.#stage.close();
    this.#container.replaceChildren();
  }

  get #known() {
    return this.#camera.id !== undefined;
  }

  // --- news from the server ---

  #onList = () => {
    const camera = this.#live.cameras.get(this.#slug);
    if (camera) this.#update(camera);
    else if (this.#live.loaded && this.#live.total <= this.#live.cameras.size) {
      this.#showGone(this.#known ? 'This camera was removed.' : 'There is no such camera.');
    }
  };

  #onVisibility = () => {
    if (document.hidden) {
      this.#events.close(); // A browser has few connections for a server.
      return;
    }
    this.#listen();
    void this.#ask();
  };

  #listen() {
    if (this.#closed || document.hidden) this.#events.close();
    else this.#events.open();
  }

  /** @param {Camera | null} camera */
  #takeCamera(camera) {
    if (camera?.slug !== this.#slug) return;
    this.#update(camera);
    void this.#ask();
  }

  /** @param {number | undefined} ms */
  #takeAge(ms = NaN) {
    this.#age = { ms: ms >= 0 ? ms : NaN, at: performance.now() };
  }

  // One request at a time; a reason to ask that comes meanwhile asks once more after it.
  async #ask() {
    if (this.#asking) {
      this.#askAgain = true;
      return;
    }
    this.#asking = true;
    this.#statusAt = performance.now();
    try {
      const status = await api.cameraStatus(this.#slug);
      if (this.#closed) return;
      const restarts = status.restarts ?? 0;
      this.#marks += Math.max(0, restarts - (this.#status.restarts ?? restarts));
      this.#status = status;
      this.#showFacts();
      if (!this.#known) await this.#find();
    } catch (error) {
      if (api.isNotFound(error)) this.#showGone('There is no such camera.');
    } finally {
      this.#asking = false;
      const again = this.#askAgain && !this.#closed;
      this.#askAgain = false;
      if (again) void this.#ask();
    }
  }

  // The list may not be there yet, and it ends at a number of cameras.
  async #find() {
    const camera = await api.findCamera(this.#slug);
    if (camera && !this.#known) this.#update(camera);
  }

  /** @param {StateMessage} message */
  #takeState({ slug, state, reason, since }) {
    if (slug !== undefined && slug !== this.#slug) return;
    this.#live.takeState({ slug: this.#slug, state, reason, since });
    if (state !== this.#camera.state) void this.#ask();
  }

  // --- what is shown ---

  /** @param {Camera} camera */
  #update(camera) {
    if (this.#closed) return;
    const before = this.#camera;
    this.#camera = camera;
    this.#show(camera, before);
  }

  /**
   * @param {Camera} camera
   * @param {Camera | null} before
   */
  #show(camera, before) {
    if (!this.#page.isConnected) this.#container.replaceChildren(this.#page); // The camera was gone, and is back.
    const name = nameOf(camera);
    if (!before || name !== nameOf(before)) this.#showName(name);
    if (!before || camera.id !== before.id || camera.name !== before.name) this.#showSharing();
    const reason = reasonText(camera.reason);
    this.#showState(camera.state, reason);
    const stopped = camera.state === 'stopped';
    const startStop = this.#button('camera-start-stop');
    startStop.textContent = stopped ? 'Start' : 'Stop';
    startStop.setAttribute('aria-label', `${startStop.textContent} ${name}`);
    this.#stage.setStopped(stopped, { known: this.#known });
    if (before?.state && before.state !== camera.state) this.#say(`${stateName(camera.state)}. ${reason}`);
    for (const id of ['camera-start-stop', 'camera-edit', 'camera-remove']) this.#button(id).disabled = !this.#known;
    this.#showFacts();
  }

  /** @param {string} name */
  #showName(name) {
    find(this.#page, '.cp-name', HTMLElement).textContent = name;
    this.#stage.setName(name);
    this.#button('snapshot-download').setAttribute('aria-label', `Download a snapshot of ${name}`);
    this.#button('camera-edit').setAttribute('aria-label', `Edit ${name}`);
    this.#button('camera-remove').setAttribute('aria-label', `Remove ${name}`);
  }

  /**
   * @param {string} state
   * @param {string} reason
   */
  #showState(state, reason) {
    const badge = byTestId(this.#page, 'camera-state', HTMLElement);
    badge.dataset.state = state;
    badge.textContent = stateName(state);
    const line = byTestId(this.#page, 'camera-reason', HTMLElement);
    setText(line, reason);
    line.hidden = !reason;
    line.dataset.state = state;
  }

  /** @param {string} text */
  #showGone(text) {
    if (this.#closed || this.#gone.isConnected) return;
    const focused = this.#container.contains(document.activeElement);
    find(this.#gone, 'span', HTMLElement).textContent = text;
    this.#container.replaceChildren(this.#gone);
    if (focused) find(this.#gone, 'a', HTMLElement).focus();
  }

  #showFacts() {
    const list = byTestId(this.#page, 'facts', HTMLElement);
    const facts = factsOf(this.#camera, this.#status, { now: this.#live.now(), shown: this.#stage.shown });
    const terms = [...list.querySelectorAll('dt')].map((one) => one.textContent);
    if (terms.length !== facts.length || facts.some(([term], at) => terms[at] !== term)) {
      list.replaceChildren(...facts.map(([term]) => {
        const line = create('div');
        line.append(create('dt', { text: term }), create('dd'));
        return line;
      }));
    }
    const values = list.querySelectorAll('dd');
    facts.forEach(([, value], at) => setText(values[at], value));
  }

  #showSharing() {
    const { slug, id, name } = this.#camera;
    this.#part('addresses').replaceChildren(...addressesOf(this.#camera).map(([label, text]) => copyRow(label, text)));
    const snippets = id === undefined ? [] : snippetsOf({ slug, id, name });
    this.#part('snippets').replaceChildren(...snippets.map(([label, text]) => copyRow(label, text, { lines: true })));
  }

  // Every second that passed is one sample: timers of a hidden page are slow.
  #tick() {
    const now = performance.now();
    const missed = Math.min(SPARK_SECONDS, Math.floor((now - this.#sampledAt) / TICK_MS));
    for (let at = 1; at <= missed; at += 1) {
      const newest = at === missed && now - this.#age.at < AGE_VALID_MS;
      this.#spark.push(newest ? this.#age.ms : NaN, at === missed ? this.#marks : 0);
    }
    if (missed) {
      this.#sampledAt += missed * TICK_MS;
      this.#marks = 0;
    }
    if (document.hidden) return;
    this.#stage.tick();
    this.#showAges();
    if (now - this.#statusAt > STATUS_MS) void this.#ask();
    else this.#showFacts();
  }

  #showAges() {
    const { now, highest, marks, span } = this.#spark.draw();
    this.#part('from').textContent = `${span / 60} min ago`;
    this.#part('now').textContent = Number.isNaN(now) ? 'unknown' : seconds(now);
    this.#part('highest').textContent = Number.isNaN(highest) ? '' : `at most ${seconds(highest)}`;
    this.#part('restarts').textContent = marks ? counted(marks, 'restart') : '';
  }

  // --- actions of the viewer ---

  #wireModes() {
    for (const radio of findAll(this.#page, '.cp-modes input', HTMLInputElement)) {
      radio.checked = radio.value === this.#stage.mode;
      radio.addEventListener('change', () => { if (isMode(radio.value)) this.#stage.setMode(radio.value); });
    }
  }

  /** @param {Actions} actions */
  #wireActions({ onEdit, onRemove }) {
    this.#onClick('snapshot-download', async () => {
      const name = fileName(nameOf(this.#camera));
      download(await api.snapshot(this.#slug), `${name}-${fileStamp(new Date())}.jpg`);
      this.#say('The snapshot was saved.');
    });
    this.#onClick('camera-start-stop', () => (
      this.#camera.state === 'stopped' ? api.startCamera(this.#slug) : api.stopCamera(this.#slug)
    ));
    this.#button('camera-edit').addEventListener('click', () => onEdit(this.#camera));
    this.#button('camera-remove').addEventListener('click', () => onRemove(this.#camera));
  }

  /**
   * @param {string} id
   * @param {() => Promise<void>} action
   */
  #onClick(id, action) {
    const button = this.#button(id);
    button.addEventListener('click', () => void this.#attempt(button, action));
  }

  /**
   * Runs an action once at a time, and shows its error.
   * @param {HTMLButtonElement} button
   * @param {() => Promise<void>} action
   */
  async #attempt(button, action) {
    const problem = byTestId(this.#page, 'camera-error', HTMLElement);
    problem.hidden = true;
    if (button.getAttribute('aria-busy')) return;
    button.setAttribute('aria-busy', 'true'); // A disabled button would lose the focus.
    try {
      await action();
    } catch (error) {
      problem.textContent = messageOf(error);
      problem.hidden = false;
    } finally {
      button.removeAttribute('aria-busy');
    }
  }

  /**
   * Tells screen readers.
   * @param {string} text
   */
  #say(text) {
    this.#part('status').textContent = text;
  }

  /** @param {string} id */
  #button(id) {
    return byTestId(this.#page, id, HTMLButtonElement);
  }

  /** @param {string} name */
  #part(name) {
    return byPart(this.#page, name, HTMLElement);
  }
}

/** @param {Camera} camera */
const nameOf = ({ name, slug }) => name || slug;

/** @param {number} ms */
const seconds = (ms) => (ms < 9950 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`);

/** @param {Summary} summary */
function describe({ now, highest, marks }) {
  const what = 'Age of the newest picture over the last 10 minutes';
  if (Number.isNaN(highest)) return `${what}: unknown. ${counted(marks, 'restart')}.`;
  const newest = Number.isNaN(now) ? 'now unknown' : `now ${seconds(now)}`;
  return `${what}: ${newest}, at most ${seconds(highest)}. ${counted(marks, 'restart')}.`;
}
