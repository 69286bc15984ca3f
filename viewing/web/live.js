// Knows what the server knows of its cameras, now: the list once, then every change as it is told by server-sent
// events. Nothing is asked for again and again, and nothing at all while nobody looks at the page.
//
// Events: 'list' (read `cameras`), 'change' (detail: the camera), 'removed' (detail: {id, slug}), 'ages', and 'link'
// (detail: {state, text}; state is waiting, up or down).

import { EVENTS_PATH, listCameras } from './api.js';
import { Backoff, SERVER_BACK } from './backoff.js';

const HIDDEN_MS = 10000; // a page hidden this long gives its connection back: a browser has six for a server
const GRACE_MS = 2500; // a connection that is back within this time was never away
const SILENT_MS = 30000; // ages come every 5 s; without them for so long the connection is dead, whatever it says
const CLOCK_OFF_MS = 2000; // the Date header has whole seconds: less is no difference

export class Live extends EventTarget {
  /** slug -> camera, as an item of the list, in the server's order. */
  cameras = new Map();
  total = 0; // more than `cameras` has when there are too many for a page
  loaded = false;
  link = { state: 'waiting', text: 'Connecting…' };

  #source = null;
  #retry = null;
  #grace = null;
  #hidden = null;
  #silence = null;
  #backoff = new Backoff();
  #asking = null;
  #meanwhile = null; // slug -> camera or null: told while the list was asked for, so it knows better
  #pictureAt = new Map(); // slug -> performance.now() of the newest picture, by the server's ages
  #clock = 0; // ms that the server's clock is ahead of this one

  start() {
    document.addEventListener('visibilitychange', () => {
      clearTimeout(this.#hidden);
      if (document.hidden) this.#hidden = setTimeout(() => this.#hangUp(), HIDDEN_MS);
      else if (!this.#source) this.#open();
    });
    addEventListener('pagehide', () => this.#hangUp());
    addEventListener('pageshow', ({ persisted }) => persisted && this.#open());
    addEventListener('online', () => !document.hidden && this.#open());
    this.#open();
  }

  /** Asks for the whole list now; what was told while the answer was on its way stays. */
  refresh() {
    this.#asking ??= this.#ask().finally(() => { this.#asking = null; });
    return this.#asking;
  }

  /** What a player's own connection heard of a camera's state. */
  heard({ slug, state, reason, since }) {
    const known = this.cameras.get(slug);
    if (!known || !state || Date.parse(since) < Date.parse(known.since)) return;
    if (known.state === state && known.reason === reason) return;
    this.#put({ ...known, state, reason, since: since ?? known.since });
  }

  /** Age of a camera's newest picture in ms, by what the server told; NaN when it told nothing. */
  age(slug) {
    const at = this.#pictureAt.get(slug);
    return at === undefined ? NaN : performance.now() - at;
  }

  /** The server's clock, so that "for 3 min" holds where the viewer's clock is wrong. */
  now() {
    return Date.now() + this.#clock;
  }

  #open() {
    this.#hangUp();
    if (document.hidden && this.loaded) return;
    const source = new EventSource(EVENTS_PATH);
    this.#source = source;
    const on = (type, act) => source.addEventListener(type, ({ data }) => {
      const told = parse(data);
      if (told) act(told);
    });
    source.onopen = () => {
      this.#backoff.reset();
      this.#expectAges(false);
      this.#up();
    };
    source.onerror = () => this.#trouble(source);
    on('resync', () => this.refresh());
    on('stream', (camera) => this.#put(camera));
    on('removed', (gone) => this.#drop(gone));
    on('ages', ({ ages }) => this.#takeAges(ages ?? {}));
    on('closing', () => this.#again('The server is closing. Connecting again…'));
  }

  #hangUp() {
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    clearTimeout(this.#grace);
    this.#grace = null;
    this.#source?.close();
    this.#source = null;
  }

  // The browser connects again by itself, unless the answer was no event stream at all.
  #trouble(source) {
    clearTimeout(this.#silence);
    if (source !== this.#source) return;
    if (source.readyState !== EventSource.CLOSED) {
      this.#grace ??= setTimeout(() => this.#tell('down', 'The server cannot be reached. Trying again…'), this.loaded ? GRACE_MS : 0);
      return;
    }
    this.#again('The server cannot be reached. Trying again…');
    // Without events the list still tells whether the server is there, at the pace of the attempts.
    this.refresh();
  }

  #again(text) {
    this.#hangUp();
    this.#grace = setTimeout(() => this.#tell('down', text), GRACE_MS);
    this.#retry = setTimeout(() => this.#open(), this.#backoff.next());
  }

  #up() {
    clearTimeout(this.#grace);
    this.#grace = null;
    if (this.loaded) this.#tell('up', 'Connected');
  }

  #tell(state, text) {
    const before = this.link;
    if (before.state === state && before.text === text) return;
    this.link = { state, text };
    if (state === 'up' && before.state === 'down') dispatchEvent(new Event(SERVER_BACK));
    this.#emit('link', this.link);
  }

  async #ask() {
    this.#meanwhile = new Map();
    try {
      const { cameras, total, serverTime } = await listCameras();
      const told = this.#meanwhile;
      const before = this.cameras;
      this.cameras = new Map();
      for (const camera of cameras) if (told.get(camera.slug) !== null) this.cameras.set(camera.slug, told.get(camera.slug) ?? camera);
      for (const [slug, camera] of told) if (camera) this.cameras.set(slug, camera);
      this.total = Math.max(total, this.cameras.size);
      this.loaded = true;
      const off = serverTime - Date.now();
      this.#clock = Math.abs(off) > CLOCK_OFF_MS ? off : 0;
      for (const slug of this.#pictureAt.keys()) if (!this.cameras.has(slug)) this.#pictureAt.delete(slug);
      this.#up();
      this.#emit('list');
      for (const [slug, camera] of this.cameras) {
        if (before.has(slug) && !same(before.get(slug), camera)) this.#emit('change', camera);
      }
      for (const [slug, { id }] of before) if (!this.cameras.has(slug)) this.#emit('removed', { id, slug });
    } catch (error) {
      this.#tell('down', error.status ? error.message : `${error.message} Trying again…`);
      clearTimeout(this.#retry);
      if (!document.hidden) this.#retry = setTimeout(() => this.#open(), this.#backoff.next());
    } finally {
      this.#meanwhile = null;
    }
  }

  #put(camera) {
    if (!camera.slug) return;
    this.#meanwhile?.set(camera.slug, camera);
    const known = this.cameras.get(camera.slug);
    this.cameras.set(camera.slug, camera);
    if (!known) this.total += 1;
    this.#emit(known ? 'change' : 'list', camera);
  }

  #drop({ id, slug }) {
    this.#meanwhile?.set(slug, null);
    this.#pictureAt.delete(slug);
    if (!this.cameras.delete(slug)) return;
    this.total -= 1;
    this.#emit('removed', { id, slug });
  }

  #takeAges(ages) {
    const now = performance.now();
    for (const [slug, ms] of Object.entries(ages)) if (this.cameras.has(slug) && ms >= 0) this.#pictureAt.set(slug, now - ms);
    this.#expectAges(true);
    this.#emit('ages');
  }

  // Only a connection that has told ages is known to go on telling them.
  #expectAges(begun) {
    clearTimeout(this.#silence);
    if (begun) this.#silence = setTimeout(() => this.#open(), SILENT_MS);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

function parse(data) {
  try {
    const told = JSON.parse(data || '{}');
    return told && typeof told === 'object' ? told : null;
  } catch {
    return null;
  }
}
