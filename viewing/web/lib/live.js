// This module keeps the list of cameras up to date: it asks for the whole list once, then follows server-sent events. It
// does not poll, and it has no connection while the page is hidden.
//
// Events: 'list' (read `cameras`), 'change' (detail: the camera), 'removed' (detail: {id, slug}), 'ages', and 'link'
// (detail: {state, text}; state is waiting, up or down).

import { ApiError, EVENTS_PATH, listCameras } from './api.js';
import { Backoff, SERVER_BACK } from './backoff.js';
import { parseObject } from './json.js';
import { messageOf } from './text.js';

/** @import { Camera, StateMessage } from './api-types.js' */
/** @typedef {{ state: 'waiting' | 'up' | 'down', text: string }} Link */

const HIDDEN_MS = 10000; // A page hidden for longer closes its connection: a browser has six for a server.
const GRACE_MS = 2500; // A connection that returns within this time was never reported as lost.
const SILENT_MS = 30000; // Ages come every 5 s; without them for so long the connection is dead, whatever its state is.
const CLOCK_OFFSET_MS = 2000; // The Date header has whole seconds, so a smaller offset means nothing.

export class Live extends EventTarget {
  /** @type {Map<string, Camera>} Slug to camera, in the server's order; at most 1000 of the list. */
  cameras = new Map();
  total = 0; // Above `cameras.size` when there are too many cameras for a page.
  loaded = false;
  /** @type {Link} */
  link = { state: 'waiting', text: 'Connecting…' };

  /** @type {EventSource | null} */
  #source = null;
  /** @type {Timer | undefined} */
  #retry;
  /** @type {Timer | undefined} */
  #grace;
  /** @type {Timer | undefined} */
  #hidden;
  /** @type {Timer | undefined} */
  #silence;
  #backoff = new Backoff();
  /** @type {Promise<void> | null} */
  #request = null;
  /** @type {Map<string, Camera | null> | null} Events since the list was requested; they are newer than its answer. */
  #newer = null;
  /** @type {Map<string, number>} Slug to performance.now() of the newest picture; bounded by `cameras`. */
  #pictureAt = new Map();
  #clockOffset = 0; // ms that the server's clock is ahead of this one

  start() {
    document.addEventListener('visibilitychange', () => {
      clearTimeout(this.#hidden);
      if (document.hidden) this.#hidden = setTimeout(() => this.#disconnect(), HIDDEN_MS);
      else if (!this.#source) this.#connect();
    });
    addEventListener('pagehide', () => this.#disconnect());
    addEventListener('pageshow', ({ persisted }) => { if (persisted) this.#connect(); });
    addEventListener('online', () => { if (!document.hidden) this.#connect(); });
    this.#connect();
  }

  /** Requests the whole list now; events that arrive before the answer take precedence. */
  refresh() {
    this.#request ??= this.#load().finally(() => { this.#request = null; });
    return this.#request;
  }

  /**
   * Takes a state that a player received on its own connection.
   * @param {StateMessage & { slug: string }} message
   */
  takeState({ slug, state, reason, since }) {
    const known = this.cameras.get(slug);
    if (!known || !state || Date.parse(since ?? '') < Date.parse(known.since ?? '')) return;
    if (known.state === state && known.reason === reason) return;
    this.#put({ ...known, state, reason, since: since ?? known.since });
  }

  /**
   * Returns the age of a camera's newest picture in ms, by the server's events; NaN when it is unknown.
   * @param {string} slug
   */
  age(slug) {
    const at = this.#pictureAt.get(slug);
    return at === undefined ? NaN : performance.now() - at;
  }

  /** Returns the server's clock in ms since 1970, so that durations are right where the viewer's clock is wrong. */
  now() {
    return Date.now() + this.#clockOffset;
  }

  #connect() {
    this.#disconnect();
    if (document.hidden && this.loaded) return;
    const source = new EventSource(EVENTS_PATH);
    this.#source = source;
    /**
     * @param {string} type
     * @param {(message: any) => void} act
     */
    const on = (type, act) => source.addEventListener(type, ({ data }) => {
      const message = parseObject(data);
      if (message) act(message);
    });
    source.onopen = () => {
      this.#backoff.reset();
      this.#expectAges(false);
      this.#connected();
    };
    source.onerror = () => this.#onError(source);
    on('resync', () => void this.refresh());
    on('stream', (camera) => this.#put(camera));
    on('removed', (camera) => this.#drop(camera));
    on('ages', ({ ages }) => this.#takeAges(ages ?? {}));
    on('closing', () => this.#connectLater('The server is closing. Reconnecting…'));
  }

  #disconnect() {
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    clearTimeout(this.#grace);
    this.#grace = undefined;
    this.#source?.close();
    this.#source = null;
  }

  /**
   * The browser reconnects by itself, unless the response was no event stream.
   * @param {EventSource} source
   */
  #onError(source) {
    clearTimeout(this.#silence);
    if (source !== this.#source) return;
    if (source.readyState !== EventSource.CLOSED) {
      this.#grace ??= setTimeout(() => this.#setLink('down', 'The server cannot be reached. Trying again…'), this.loaded ? GRACE_MS : 0);
      return;
    }
    this.#connectLater('The server cannot be reached. Trying again…');
    // Without events the list still shows whether the server is there, at the pace of the attempts.
    void this.refresh();
  }

  /** @param {string} text */
  #connectLater(text) {
    this.#disconnect();
    this.#grace = setTimeout(() => this.#setLink('down', text), GRACE_MS);
    this.#retry = setTimeout(() => this.#connect(), this.#backoff.next());
  }

  #connected() {
    clearTimeout(this.#grace);
    this.#grace = undefined;
    if (this.loaded) this.#setLink('up', 'Connected');
  }

  /**
   * @param {Link['state']} state
   * @param {string} text
   */
  #setLink(state, text) {
    const before = this.link;
    if (before.state === state && before.text === text) return;
    this.link = { state, text };
    if (state === 'up' && before.state === 'down') dispatchEvent(new Event(SERVER_BACK));
    this.#emit('link', this.link);
  }

  async #load() {
    const newer = new Map();
    this.#newer = newer;
    try {
      this.#takeList(await listCameras(), newer);
    } catch (error) {
      const answered = error instanceof ApiError && error.status !== 0;
      this.#setLink('down', answered ? error.message : `${messageOf(error)} Trying again…`);
      clearTimeout(this.#retry);
      if (!document.hidden) this.#retry = setTimeout(() => this.#connect(), this.#backoff.next());
    } finally {
      this.#newer = null;
    }
  }

  /**
   * @param {{ cameras: Camera[], total: number, serverTime: number }} list
   * @param {Map<string, Camera | null>} newer
   */
  #takeList({ cameras, total, serverTime }, newer) {
    const before = this.cameras;
    this.cameras = merge(cameras, newer);
    this.total = Math.max(total, this.cameras.size);
    this.loaded = true;
    const offset = serverTime - Date.now();
    this.#clockOffset = Math.abs(offset) > CLOCK_OFFSET_MS ? offset : 0;
    for (const slug of this.#pictureAt.keys()) if (!this.cameras.has(slug)) this.#pictureAt.delete(slug);
    this.#connected();
    this.#emit('list');
    for (const [slug, camera] of this.cameras) {
      const known = before.get(slug);
      if (known && !same(known, camera)) this.#emit('change', camera);
    }
    for (const [slug, { id }] of before) if (!this.cameras.has(slug)) this.#emit('removed', { id, slug });
  }

  /** @param {Camera} camera */
  #put(camera) {
    if (!camera.slug) return;
    this.#newer?.set(camera.slug, camera);
    const known = this.cameras.get(camera.slug);
    this.cameras.set(camera.slug, camera);
    if (!known) this.total += 1;
    this.#emit(known ? 'change' : 'list', camera);
  }

  /** @param {{ id: number, slug: string }} camera */
  #drop({ id, slug }) {
    this.#newer?.set(slug, null);
    this.#pictureAt.delete(slug);
    if (!this.cameras.delete(slug)) return;
    this.total -= 1;
    this.#emit('removed', { id, slug });
  }

  /** @param {Record<string, number>} ages in ms */
  #takeAges(ages) {
    const now = performance.now();
    for (const [slug, ms] of Object.entries(ages)) if (this.cameras.has(slug) && ms >= 0) this.#pictureAt.set(slug, now - ms);
    this.#expectAges(true);
    this.#emit('ages');
  }

  /**
   * Only a connection that has sent ages is expected to go on sending them.
   * @param {boolean} begun
   */
  #expectAges(begun) {
    clearTimeout(this.#silence);
    if (begun) this.#silence = setTimeout(() => this.#connect(), SILENT_MS);
  }

  /**
   * @param {string} type
   * @param {unknown} [detail]
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/**
 * Merges a list with newer events: a camera replaces its entry, null removes it.
 * @param {Camera[]} cameras
 * @param {Map<string, Camera | null>} newer
 * @returns {Map<string, Camera>}
 */
export function merge(cameras, newer) {
  const merged = new Map();
  for (const camera of cameras) if (newer.get(camera.slug) !== null) merged.set(camera.slug, newer.get(camera.slug) ?? camera);
  for (const [slug, camera] of newer) if (camera) merged.set(slug, camera);
  return merged;
}

/**
 * @param {Camera} one
 * @param {Camera} other
 */
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
