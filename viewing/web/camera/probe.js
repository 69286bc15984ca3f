// This module tests a camera before it is saved: it shows the picture and facts of the address in the form, or why there
// is none. The viewer can stop the test and need not wait for it.

import { ApiError, probeCamera } from '../lib/api.js';
import { create, find } from '../lib/dom.js';
import { audioText, sentence } from '../lib/text.js';
import { failureOf, videoText, waitText } from './probe-text.js';

/** @import { ProbeResult } from '../lib/api-types.js' */
/** @typedef {{ title: string, text: string, facts?: [string, string | null | undefined][], picture?: string | null }} Panel */

const LONG_MS = 5000; // The viewer is told that the test continues.
const TICK_MS = 1000;
// A change of one of these fields makes an earlier result worthless.
const PROBED_FIELDS = new Set(['url', 'username', 'password', 'transport', 'tls_insecure', 'zone']);

export class ProbePanel {
  #form;
  #camera;
  #complain;
  #button;
  #panel;
  #status; // for screen readers
  /** @type {AbortController | null} The probe under way. */
  #pending = null;
  /** @type {Timer | undefined} */
  #ticking;
  #complained = false; // A field shows what the last probe found.

  /**
   * @param {HTMLFormElement} form
   * @param {object} options
   * @param {() => { camera: object, slug?: string }} options.camera the camera to probe
   * @param {(error: Error | null) => void} options.complain shows an error at a field; null removes it
   */
  constructor(form, { camera, complain }) {
    this.#form = form;
    this.#camera = camera;
    this.#complain = complain;
    this.#button = find(form, '[name="try"]', HTMLButtonElement);
    this.#panel = find(form, '.probe', HTMLElement);
    this.#status = find(form, '.probe-status', HTMLElement);
    this.#button.addEventListener('click', () => {
      if (this.#pending) this.#stop();
      else void this.#probe();
    });
    form.addEventListener('input', ({ target }) => {
      const name = target instanceof Element ? target.getAttribute('name') : null;
      if (!PROBED_FIELDS.has(name ?? '') || this.#panel.hidden) return;
      this.clear();
      if (this.#complained) this.#complain(null);
      this.#complained = false;
    });
  }

  /** Removes the last result, and ends a probe that is under way. */
  clear() {
    this.#end();
    this.#panel.hidden = true;
    this.#status.textContent = '';
    this.#part('img').removeAttribute('src'); // The browser frees the picture.
  }

  async #probe() {
    this.#complain(null);
    this.#complained = false;
    const pending = new AbortController();
    this.#pending = pending;
    this.#button.textContent = 'Stop the test';
    this.#wait();
    /** @type {() => void} */
    let show;
    try {
      const { camera, slug } = this.#camera();
      const result = await probeCamera(camera, { slug, signal: pending.signal });
      show = () => (result.ok ? this.#showPicture(result) : this.#showReason(result));
    } catch (error) {
      show = () => this.#refuse(error);
    }
    if (this.#pending !== pending) return; // The viewer stopped it or changed the form.
    this.#end();
    show();
    // A field scrolls by its focus.
    if (document.activeElement === this.#button) this.#panel.scrollIntoView({ block: 'nearest' });
  }

  #stop() {
    this.clear();
    this.#status.textContent = 'The test was stopped.';
  }

  #end() {
    clearInterval(this.#ticking);
    this.#pending?.abort();
    this.#pending = null;
    this.#button.textContent = 'Test';
    this.#panel.removeAttribute('aria-busy');
  }

  #wait() {
    const from = performance.now();
    let long = false;
    this.#show('busy', { title: 'Connecting to the camera…', text: '' });
    this.#panel.setAttribute('aria-busy', 'true');
    this.#status.textContent = 'Connecting to the camera.';
    this.#ticking = setInterval(() => {
      const ms = performance.now() - from;
      this.#part('.probe-text').textContent = `${Math.round(ms / 1000)} s`;
      if (ms > LONG_MS && !long) this.#status.textContent = 'Still waiting for the camera.';
      long = ms > LONG_MS;
    }, TICK_MS);
  }

  /** @param {ProbeResult} result */
  #showPicture({ video, audio, worker, took_ms: took, picture }) {
    /** @type {[string, string | null | undefined][]} */
    const facts = [
      ['Video', videoText(video)],
      ['Audio', audioText(audio) || 'none'],
      ['Took', waitText(took)],
      ['Worker', worker],
    ];
    const text = picture ? '' : 'The camera answered, but no picture could be decoded.';
    this.#show('good', { title: 'The camera works', text, facts, picture });
    this.#status.textContent = ['The camera works.', ...facts.slice(0, 3).map(([term, value]) => `${term}: ${value}.`)].join(' ');
  }

  /** @param {ProbeResult} result */
  #showReason(result) {
    const { title, message, field } = failureOf(result);
    /** @type {[string, string | null | undefined][]} */
    const facts = [['Took', waitText(result.took_ms)], ['Worker', result.worker]];
    const text = field ? 'Nothing was saved. The camera can still be saved with this address.' : message;
    this.#show('bad', { title, text, facts });
    this.#complained = Boolean(field);
    this.#status.textContent = field ? '' : `${sentence(title)} ${message}`;
    if (field) this.#complain(new ApiError(0, message, { field }));
  }

  /**
   * The server refused to probe: an invalid value is shown at its field, any other error beside the button.
   * @param {unknown} error
   */
  #refuse(error) {
    const failure = error instanceof Error ? error : new Error(String(error));
    if (failure instanceof ApiError && failure.field) {
      this.clear();
      this.#complain(failure);
      return;
    }
    this.#show('bad', { title: 'The test did not run', text: sentence(failure.message) });
    this.#status.textContent = `The test did not run. ${failure.message}`;
  }

  /**
   * @param {'busy' | 'good' | 'bad'} tone
   * @param {Panel} panel
   */
  #show(tone, { title, text, facts = [], picture = null }) {
    this.#panel.dataset.tone = tone;
    this.#panel.hidden = false;
    this.#part('.probe-title').textContent = title;
    this.#part('.probe-text').textContent = text;
    this.#part('.probe-wait').hidden = tone !== 'busy';
    const image = find(this.#panel, 'img', HTMLImageElement);
    const shown = picture?.startsWith('data:image/') ?? false;
    const name = find(this.#form, '[name="name"]', HTMLInputElement).value.trim() || 'the camera';
    image.hidden = !shown;
    image.alt = shown ? `Picture from ${name}, taken just now` : '';
    if (picture && shown) image.src = picture;
    else image.removeAttribute('src');
    this.#part('.probe-frame').hidden = !shown && tone !== 'busy';
    this.#part('.probe-facts').replaceChildren(...facts.flatMap(([term, value]) => (
      value ? [create('dt', { text: term }), create('dd', { text: value })] : []
    )));
  }

  /** @param {string} selector */
  #part(selector) {
    return find(this.#panel, selector, HTMLElement);
  }
}
