// This module keeps the server-sent events of one camera open while its page is visible, and reconnects with backoff.

import { cameraEvents } from '../lib/api.js';
import { Backoff } from '../lib/backoff.js';
import { parseObject } from '../lib/json.js';

/** @typedef {'resync' | 'stream' | 'removed' | 'ages'} EventType */

export class StreamEvents {
  #slug;
  #handlers;
  /** @type {EventSource | null} */
  #source = null;
  /** @type {Timer | undefined} */
  #retry;
  #backoff = new Backoff();

  /**
   * @param {string} slug
   * @param {Record<EventType, (message: any) => void>} handlers a message that is no object is passed as null
   */
  constructor(slug, handlers) {
    this.#slug = slug;
    this.#handlers = handlers;
  }

  open() {
    this.close();
    const source = cameraEvents(this.#slug);
    this.#source = source;
    source.onopen = () => this.#backoff.reset();
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) this.#openLater();
    };
    source.addEventListener('closing', () => this.#openLater());
    for (const [type, handle] of Object.entries(this.#handlers)) {
      source.addEventListener(type, ({ data }) => handle(parseObject(data)));
    }
  }

  close() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
  }

  #openLater() {
    this.close();
    this.#retry = setTimeout(() => this.open(), this.#backoff.next());
  }
}
