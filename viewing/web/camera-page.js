// Knows the page of one camera: its pictures, how it has been lately, what is known of its stream, what an operator can
// do, and what can be taken along. It hears of this camera by its own server-sent events.

import * as api from './api.js';
import { Backoff } from './backoff.js';
import { factsOf } from './camera-facts.js';
import { cameraPageParts } from './camera-page-parts.js';
import { addressesOf, copyRow, snippetsOf } from './camera-sharing.js';
import { CameraStage } from './camera-stage.js';
import { reasonText, stateName } from './camera-states.js';
import { Sparkline } from './sparkline.js';

const TICK_MS = 1000;
const SPARK_SPANS = [60, 180, 600]; // seconds; the line grows with what is known, to the last
const SPARK_SECONDS = SPARK_SPANS.at(-1);
const SPARK_LEAST_MS = 1000;
const AGE_GOOD_MS = 3500; // an age is told every second; after this long it is not known any more
const STATUS_MS = 10000; // rates and viewers change without an event

/**
 * Shows the camera in `container` until it is closed. `onEdit(camera)` and `onRemove(camera)` are for what an operator
 * asks for; who removes the camera leaves its page.
 */
export function openCamera(slug, container, live, { onEdit, onRemove }) {
  const page = new CameraPage(slug, container, live, { onEdit, onRemove });
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
  #camera = null;
  #status = {};
  #statusAt = 0;
  #asking = false;
  #askAgain = false;
  #events = null;
  #retry = null;
  #backoff = new Backoff();
  #age = { ms: NaN, at: 0 };
  #sampledAt = performance.now();
  #marks = 0; // restarts since the last sample
  #clock;
  #closed = false;

  constructor(slug, container, live, { onEdit, onRemove }) {
    this.#slug = slug;
    this.#container = container;
    this.#live = live;
    const { page, gone } = cameraPageParts();
    this.#page = page;
    this.#gone = gone;
    container.replaceChildren(page);
    this.#stage = new CameraStage(page.querySelector('.cp-stage'), { slug, onEvent: (message) => this.#hear(message) });
    this.#wireModes();
    this.#wireActs(onEdit, onRemove);
    this.#spark = new Sparkline({ spans: SPARK_SPANS, least: SPARK_LEAST_MS, format: seconds, describe });
    this.#part('spark').replaceWith(this.#spark.element);
    for (const type of ['list', 'change', 'removed']) live.addEventListener(type, this.#onList);
    document.addEventListener('visibilitychange', this.#onSight);
    this.#show(live.cameras.get(slug) ?? { slug, state: '' });
    this.#onList();
    this.#listen();
    this.#ask();
    this.#clock = setInterval(() => this.#tick(), TICK_MS);
    page.querySelector('.cp-name').focus({ preventScroll: true });
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#clock);
    this.#hangUp();
    for (const type of ['list', 'change', 'removed']) this.#live.removeEventListener(type, this.#onList);
    document.removeEventListener('visibilitychange', this.#onSight);
    this.#stage.close();
    this.#container.replaceChildren();
  }

  // --- what the server tells ---

  #onList = () => {
    const camera = this.#live.cameras.get(this.#slug);
    if (camera) this.#show(camera);
    else if (this.#live.loaded && this.#live.total <= this.#live.cameras.size) {
      this.#showGone(this.#camera?.id === undefined ? 'There is no such camera.' : 'This camera was removed.');
    }
  };

  #onSight = () => {
    if (document.hidden) return this.#hangUp(); // a browser has few connections for a server
    this.#listen();
    this.#ask();
  };

  #listen() {
    this.#hangUp();
    if (this.#closed || document.hidden) return;
    const events = api.cameraEvents(this.#slug);
    this.#events = events;
    const on = (type, act) => events.addEventListener(type, ({ data }) => act(parsed(data)));
    events.onopen = () => this.#backoff.reset();
    events.onerror = () => {
      if (events.readyState === EventSource.CLOSED) this.#listenLater();
    };
    on('resync', () => this.#ask());
    on('closing', () => this.#listenLater());
    on('stream', (camera) => {
      if (camera?.slug !== this.#slug) return;
      this.#show(camera);
      this.#ask();
    });
    on('removed', (gone) => gone?.slug === this.#slug && this.#showGone('This camera was removed.'));
    on('ages', (told) => {
      const ms = told?.ages?.[this.#slug];
      this.#age = { ms: ms >= 0 ? ms : NaN, at: performance.now() };
    });
  }

  #listenLater() {
    this.#hangUp();
    this.#retry = setTimeout(() => this.#listen(), this.#backoff.next());
  }

  #hangUp() {
    clearTimeout(this.#retry);
    this.#events?.close();
    this.#events = null;
  }

  // One question at a time; a reason to ask that comes meanwhile asks once more after it.
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
      const more = (status.restarts ?? 0) - (this.#status.restarts ?? status.restarts ?? 0);
      if (more > 0) this.#marks += more;
      this.#status = status;
      this.#showFacts();
      if (this.#camera.id === undefined) await this.#find();
    } catch (error) {
      if (error.status === 404) this.#showGone('There is no such camera.');
    } finally {
      this.#asking = false;
      const again = this.#askAgain && !this.#closed;
      this.#askAgain = false;
      if (again) this.#ask();
    }
  }

  // The list may not be there yet, and it ends at a number of cameras.
  async #find() {
    const camera = await api.findCamera(this.#slug);
    if (camera && this.#camera.id === undefined) this.#show(camera);
  }

  #hear({ slug, state, reason, since }) {
    if (slug !== undefined && slug !== this.#slug) return;
    this.#live.heard?.({ slug: this.#slug, state, reason, since });
    if (state !== this.#camera?.state) this.#ask();
  }

  // --- what is shown ---

  #show(camera) {
    if (this.#closed) return;
    const before = this.#camera;
    this.#camera = camera;
    if (!this.#page.isConnected) this.#container.replaceChildren(this.#page); // it was gone, and is back
    const name = camera.name || camera.slug;
    if (!before || name !== (before.name || before.slug)) {
      this.#at('.cp-name').textContent = name;
      this.#stage.setName(name);
      this.#testid('snapshot-download').setAttribute('aria-label', `Download a snapshot of ${name}`);
      this.#testid('camera-edit').setAttribute('aria-label', `Edit ${name}`);
      this.#testid('camera-remove').setAttribute('aria-label', `Remove ${name}`);
    }
    if (!before || camera.id !== before.id || camera.name !== before.name) this.#showSharing();
    const badge = this.#testid('camera-state');
    badge.dataset.state = camera.state;
    badge.textContent = stateName(camera.state);
    const reason = reasonText(camera.reason);
    const said = this.#testid('camera-reason');
    if (said.textContent !== reason) said.textContent = reason;
    said.hidden = !reason;
    said.dataset.state = camera.state;
    const startStop = this.#testid('camera-start-stop');
    startStop.textContent = camera.state === 'stopped' ? 'Start' : 'Stop';
    startStop.setAttribute('aria-label', `${startStop.textContent} ${name}`);
    this.#stage.setStopped(camera.state === 'stopped', { known: camera.id !== undefined });
    if (before?.state && before.state !== camera.state) this.#tell(`${stateName(camera.state)}. ${reason}`);
    for (const id of ['camera-start-stop', 'camera-edit', 'camera-remove']) this.#testid(id).disabled = camera.id === undefined;
    this.#showFacts();
  }

  #showGone(text) {
    if (this.#closed || this.#gone.isConnected) return;
    const focused = this.#container.contains(document.activeElement);
    this.#gone.firstElementChild.textContent = text;
    this.#container.replaceChildren(this.#gone);
    if (focused) this.#gone.querySelector('a').focus();
  }

  #showFacts() {
    const now = this.#live.now?.() ?? Date.now();
    const list = this.#testid('facts');
    const facts = factsOf(this.#camera ?? {}, this.#status, { now, shown: this.#stage.shown });
    if (list.children.length !== facts.length || facts.some(([term], at) => list.children[at].firstElementChild.textContent !== term)) {
      list.replaceChildren(...facts.map(([term]) => {
        const line = document.createElement('div');
        line.append(document.createElement('dt'), document.createElement('dd'));
        line.firstElementChild.textContent = term;
        return line;
      }));
    }
    facts.forEach(([, value], at) => {
      const dd = list.children[at].lastElementChild;
      if (dd.textContent !== String(value)) dd.textContent = value;
    });
  }

  #showSharing() {
    this.#part('addresses').replaceChildren(...addressesOf(this.#camera).map(([label, text]) => copyRow(label, text)));
    const snippets = this.#camera.id === undefined ? [] : snippetsOf(this.#camera);
    this.#part('snippets').replaceChildren(...snippets.map(([label, text]) => copyRow(label, text, { lines: true })));
  }

  // A sample for each second that went by: timers of a hidden page are slow.
  #tick() {
    const now = performance.now();
    const missed = Math.min(SPARK_SECONDS, Math.floor((now - this.#sampledAt) / TICK_MS));
    for (let at = 1; at <= missed; at += 1) {
      const newest = at === missed && now - this.#age.at < AGE_GOOD_MS;
      this.#spark.push(newest ? this.#age.ms : NaN, at === missed ? this.#marks : 0);
    }
    if (missed) {
      this.#sampledAt += missed * TICK_MS;
      this.#marks = 0;
    }
    if (document.hidden) return;
    this.#stage.tick();
    this.#showLately(this.#spark.draw());
    if (now - this.#statusAt > STATUS_MS) this.#ask();
    else this.#showFacts();
  }

  #showLately({ now, most, marks, span }) {
    this.#part('from').textContent = `${span / 60} min ago`;
    this.#part('now').textContent = Number.isNaN(now) ? 'not known' : seconds(now);
    this.#part('most').textContent = Number.isNaN(most) ? '' : `at most ${seconds(most)}`;
    this.#part('restarts').textContent = marks ? restarts(marks) : '';
  }

  // --- what a person does ---

  #wireModes() {
    for (const radio of this.#page.querySelectorAll('.cp-modes input')) {
      radio.checked = radio.value === this.#stage.mode;
      radio.addEventListener('change', () => this.#stage.setMode(radio.value));
    }
  }

  #wireActs(onEdit, onRemove) {
    this.#testid('snapshot-download').addEventListener('click', ({ currentTarget }) => this.#attempt(currentTarget, async () => {
      save(await api.snapshot(this.#slug), `${fileName(this.#camera.name || this.#slug)}-${stamp(new Date())}.jpg`);
      this.#tell('The snapshot was saved.');
    }));
    this.#testid('camera-start-stop').addEventListener('click', ({ currentTarget }) => this.#attempt(currentTarget, async () => {
      await (this.#camera.state === 'stopped' ? api.startCamera(this.#slug) : api.stopCamera(this.#slug));
    }));
    this.#testid('camera-edit').addEventListener('click', () => onEdit(this.#camera));
    this.#testid('camera-remove').addEventListener('click', () => onRemove(this.#camera));
  }

  async #attempt(button, action) {
    const problem = this.#testid('camera-error');
    problem.hidden = true;
    if (button.getAttribute('aria-busy')) return;
    button.setAttribute('aria-busy', 'true'); // not disabled: that would take the focus away
    try {
      await action();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      button.removeAttribute('aria-busy');
    }
  }

  #tell(text) {
    this.#part('told').textContent = text;
  }

  #at(selector) {
    return this.#page.querySelector(selector);
  }

  #testid(id) {
    return this.#at(`[data-testid="${id}"]`);
  }

  #part(name) {
    return this.#at(`[data-part="${name}"]`);
  }
}

const seconds = (ms) => (ms < 9950 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`);
const restarts = (count) => `${count} ${count === 1 ? 'restart' : 'restarts'}`;

function describe({ now, most, marks }) {
  if (Number.isNaN(most)) return `Age of the newest picture over the last 10 minutes: nothing is known yet. ${restarts(marks)}.`;
  const newest = Number.isNaN(now) ? 'not known now' : `now ${seconds(now)}`;
  return `Age of the newest picture over the last 10 minutes: ${newest}, at most ${seconds(most)}. ${restarts(marks)}.`;
}

function parsed(data) {
  try {
    return JSON.parse(data || '{}');
  } catch {
    return null;
  }
}

// What every file system takes.
const fileName = (name) => name.normalize('NFC').replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-+|-+$/g, '').slice(0, 60) || 'camera';
const two = (number) => String(number).padStart(2, '0');
const stamp = (at) => [at.getFullYear(), at.getMonth() + 1, at.getDate()].map(two).join('-')
  + `-${[at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join('')}`;

function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
