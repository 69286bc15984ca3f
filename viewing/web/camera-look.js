// Knows the test of a camera before it is saved: one look at the address in the form, its picture and what is known of
// it, or why there is none. It can be stopped, and nothing waits for it.

import { testCamera } from './api.js';
import { codecName, sentence, soundLine } from './words.js';

const LONG_MS = 5000; // after this long a person is told that the test still goes on
const TICK_MS = 1000;
// What a change of makes an older look worthless.
const ABOUT = new Set(['url', 'username', 'password', 'transport', 'tls_insecure', 'zone']);

// What to call a failure, and the field it is about, if any.
const FAILURES = {
  auth_failed: ['Login refused', 'username'],
  name_not_found: ['Host not found', 'url'],
  unreachable: ['No answer', 'url'],
  refused: ['Connection refused', 'url'],
  not_found: ['No stream at this path', 'url'],
  not_rtsp: ['Not an RTSP server', 'url'],
  busy: ['The camera is busy'],
  unsupported: ['No video that can be shown'],
  stalled: ['No picture came'],
  ended: ['The camera hung up'],
  no_worker: ['No worker is free'],
};

export class CameraLook {
  #form;
  #camera;
  #complain;
  #button;
  #panel;
  #told;
  #asking = null; // AbortController of the look under way
  #ticking = null;
  #complained = false; // a field shows what the last look found

  /** `camera()` gives `{camera, slug}` to look at; `complain(error)` shows a sentence at a field, null takes it away. */
  constructor(form, { camera, complain }) {
    this.#form = form;
    this.#camera = camera;
    this.#complain = complain;
    this.#button = form.elements.try;
    this.#panel = form.querySelector('.look');
    this.#told = form.querySelector('.look-told');
    this.#button.addEventListener('click', () => (this.#asking ? this.#stop() : this.#ask()));
    form.addEventListener('input', ({ target }) => {
      if (!ABOUT.has(target.name) || this.#panel.hidden) return;
      this.clear();
      if (this.#complained) this.#complain(null);
      this.#complained = false;
    });
  }

  /** Forgets the last look, and ends one that is under way. */
  clear() {
    this.#end();
    this.#panel.hidden = true;
    this.#told.textContent = '';
    this.#part('img').removeAttribute('src'); // gives the picture back
  }

  async #ask() {
    this.#complain(null);
    this.#complained = false;
    const asking = new AbortController();
    this.#asking = asking;
    this.#button.textContent = 'Stop the test';
    this.#wait();
    let look;
    let failure;
    try {
      const { camera, slug } = this.#camera();
      look = await testCamera(camera, { slug, signal: asking.signal });
    } catch (error) {
      failure = error;
    }
    if (this.#asking !== asking) return; // stopped, or overtaken by a change of the form
    this.#end();
    if (failure) this.#refuse(failure);
    else if (look?.ok) this.#showPicture(look);
    else this.#showReason(look ?? {});
    if (document.activeElement === this.#button) this.#panel.scrollIntoView({ block: 'nearest' }); // a field scrolls by its focus
  }

  #stop() {
    this.clear();
    this.#told.textContent = 'The test was stopped.';
  }

  #end() {
    clearInterval(this.#ticking);
    this.#asking?.abort();
    this.#asking = null;
    this.#button.textContent = 'Test';
    this.#panel.removeAttribute('aria-busy');
  }

  #wait() {
    const from = performance.now();
    let long = false;
    this.#show('busy', { title: 'Asking the camera…', text: '' });
    this.#panel.setAttribute('aria-busy', 'true');
    this.#told.textContent = 'Asking the camera.';
    this.#ticking = setInterval(() => {
      const ms = performance.now() - from;
      this.#part('.look-text').textContent = `${Math.round(ms / 1000)} s`;
      if (ms > LONG_MS && !long) this.#told.textContent = 'Still waiting for the camera.';
      long = ms > LONG_MS;
    }, TICK_MS);
  }

  #showPicture({ video, audio, worker, took_ms: took, picture }) {
    const size = video?.width && video?.height ? `${video.width} × ${video.height}` : '';
    const rate = Number.isFinite(video?.fps) ? `${Number(video.fps.toFixed(1))} fps` : '';
    const facts = [
      ['Video', [codecName(video?.codec), size, rate].filter(Boolean).join(', ')],
      ['Sound', soundLine(audio) || 'none'],
      ['Took', seconds(took)],
      ['Worker', worker],
    ];
    const text = picture ? '' : 'It answers, but no picture of it could be made.';
    this.#show('good', { title: 'The camera works', text, facts, picture });
    this.#told.textContent = ['The camera works.', ...facts.slice(0, 3).map(([term, value]) => `${term}: ${value}.`)].join(' ');
  }

  #showReason({ state, reason, took_ms: took, worker }) {
    const [title, field] = FAILURES[reason?.code] ?? ['No picture', undefined];
    const said = sentence(reason?.text) || `The camera gave no picture (${state}).`;
    const after = 'Nothing was saved. It can be saved as it is all the same.';
    const facts = [['Took', seconds(took)], ['Worker', worker]];
    this.#show('bad', { title, text: field ? after : said, facts });
    this.#complained = Boolean(field);
    if (field) {
      this.#told.textContent = '';
      this.#complain({ message: said, field });
    } else this.#told.textContent = `${sentence(title)} ${said}`;
  }

  // The server would not even try: bad values stand at their field, "too busy" beside the button.
  #refuse(error) {
    if (error.field) {
      this.clear();
      return this.#complain(error);
    }
    this.#show('bad', { title: 'The test did not run', text: sentence(error.message) });
    this.#told.textContent = `The test did not run. ${error.message}`;
  }

  #show(tone, { title, text, facts = [], picture = null }) {
    this.#panel.dataset.tone = tone;
    this.#panel.hidden = false;
    this.#part('.look-title').textContent = title;
    this.#part('.look-text').textContent = text;
    this.#part('.look-wait').hidden = tone !== 'busy';
    const image = this.#part('img');
    const shown = typeof picture === 'string' && picture.startsWith('data:image/');
    image.hidden = !shown;
    image.alt = shown ? `Picture from ${this.#form.elements.name.value.trim() || 'the camera'}, taken just now` : '';
    if (shown) image.src = picture;
    else image.removeAttribute('src');
    this.#part('.look-frame').hidden = !shown && tone !== 'busy';
    this.#part('.look-facts').replaceChildren(...facts.filter(([, value]) => value).flatMap(([term, value]) => {
      const [dt, dd] = [document.createElement('dt'), document.createElement('dd')];
      dt.textContent = term;
      dd.textContent = value;
      return [dt, dd];
    }));
  }

  #part(selector) {
    return this.#panel.querySelector(selector);
  }
}

const seconds = (ms) => (ms >= 50 ? `${(ms / 1000).toFixed(1)} s` : ms >= 0 ? 'less than 0.1 s' : '');
