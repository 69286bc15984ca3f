// Knows one tile of the wall: a camera's name, state, buttons, addresses. Pictures are tile-stage.js' matter.
// All text from the server goes through textContent or value.

import * as api from './api.js';
import { announce } from './announce.js';
import { choose } from './choices.js';
import { TileStage } from './tile-stage.js';
import { codecName, soundLine } from './words.js';

const STATES = {
  idle: 'Idle',
  starting: 'Starting',
  running: 'Running',
  reconnecting: 'Reconnecting',
  auth_failed: 'Login refused',
  failed: 'Failed',
  stopped: 'Stopped',
};
const WORTH_SAYING = new Set(['running', 'reconnecting', 'auth_failed', 'failed', 'stopped']);
const STALE_MS = 3000;
const FACTS_MS = 4000;

export class Tile {
  #camera = {};
  #find;
  #stage;
  #eventAt = 0;
  #factsAt = 0;
  #onRemoved;
  #onChanged;

  constructor(camera, { mode, onRemoved, onChanged, onEdit }) {
    const { slug } = camera;
    this.slug = slug;
    this.element = document.getElementById('tile-template').content.firstElementChild.cloneNode(true);
    this.#find = (testid) => this.element.querySelector(`[data-testid="${testid}"]`);
    this.#onRemoved = onRemoved;
    this.#onChanged = onChanged;
    const article = this.element.firstElementChild;
    article.dataset.testid = `tile-${slug}`;
    article.dataset.slug = slug;
    this.heading = article.querySelector('h2');
    this.heading.id = `name-${slug}`;
    article.setAttribute('aria-labelledby', this.heading.id);

    this.#stage = new TileStage(article.querySelector('.stage'), { slug, onEvent: (message) => this.#hear(message) });
    this.#wireModes(mode);
    this.#find('snapshot').href = api.snapshotPath(slug);
    this.#find('edit').addEventListener('click', () => onEdit(this.#camera));
    this.#find('start-stop').addEventListener('click', () => this.#startOrStop());
    this.#wireRemoval();
    this.#find('about').addEventListener('toggle', () => this.#showFacts());
    this.update(camera, performance.now());
    this.#stage.setMode(mode);
  }

  /** What the list said; `asked` is when it was asked, as an event since then knows better. */
  update(camera, asked) {
    const before = this.#camera;
    this.#camera = this.#eventAt > asked ? { ...camera, state: before.state, reason: before.reason } : camera;
    const name = camera.name || camera.slug;
    if (name !== (before.name || before.slug)) {
      this.heading.textContent = this.heading.title = name;
      this.#stage.setName(name);
      this.element.querySelector('legend').textContent = `How to watch ${name}`;
      this.#find('snapshot').setAttribute('aria-label', `Snapshot of ${name}, new tab`);
      this.#find('edit').setAttribute('aria-label', `Edit ${name}`);
      this.#find('remove').setAttribute('aria-label', `Remove ${name}`);
    }
    if (camera.id !== before.id) this.#showAddresses();
    this.#showState(before.state);
  }

  /** Once a second: the figures that age by themselves. */
  tick() {
    const age = this.#find('age');
    const ms = this.#stage.tick();
    age.textContent = Number.isNaN(ms) ? '' : ago(ms);
    age.classList.toggle('stale', ms > STALE_MS);
    if (this.#find('about').open && performance.now() - this.#factsAt > FACTS_MS) this.#showFacts();
  }

  destroy() {
    this.#stage.destroy();
    this.element.remove();
  }

  #hear({ slug, state, reason }) {
    if (slug !== undefined && slug !== this.slug) return;
    const before = this.#camera.state;
    this.#eventAt = performance.now();
    this.#camera = { ...this.#camera, state, reason };
    this.#showState(before);
  }

  #showState(before) {
    const { name, slug, state, reason } = this.#camera;
    const badge = this.#find('state');
    const said = this.#find('reason');
    if (badge.dataset.state !== state) {
      badge.dataset.state = state;
      badge.textContent = STATES[state] ?? String(state);
    }
    if (said.textContent !== (reason ?? '')) said.textContent = reason ?? '';
    said.hidden = !reason;
    const stopped = state === 'stopped';
    const button = this.#find('start-stop');
    button.textContent = stopped ? 'Start' : 'Stop';
    button.setAttribute('aria-label', `${button.textContent} ${name || slug}`);
    this.#stage.setStopped(stopped);
    if (before !== undefined && before !== state && WORTH_SAYING.has(state)) {
      announce(name || slug, `${STATES[state].toLowerCase()}. ${reason ?? ''}`);
    }
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

  async #startOrStop() {
    const start = this.#camera.state === 'stopped';
    await this.#attempt(this.#find('start-stop'), async () => {
      await (start ? api.startCamera(this.slug) : api.stopCamera(this.slug));
      await this.#onChanged();
    });
  }

  // Two steps, both by keyboard: the question takes the buttons' place with the focus on the harmless answer.
  #wireRemoval() {
    const buttons = this.element.querySelector('.buttons');
    const modes = this.element.querySelector('.modes');
    const question = this.element.querySelector('.confirm');
    const ask = (asking) => {
      question.hidden = !asking;
      buttons.hidden = modes.hidden = asking;
      const name = this.heading.textContent;
      question.firstElementChild.textContent = `Remove ${name}?`;
      question.setAttribute('aria-label', `Remove ${name}?`);
      this.#find(asking ? 'cancel-remove' : 'remove').focus();
    };
    this.#find('remove').addEventListener('click', () => ask(true));
    this.#find('cancel-remove').addEventListener('click', () => ask(false));
    question.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') ask(false);
    });
    this.#find('confirm-remove').addEventListener('click', async ({ currentTarget }) => {
      const gone = await this.#attempt(currentTarget, async () => {
        try {
          await api.removeCamera(this.slug);
        } catch (error) {
          if (error.status !== 404) throw error; // somebody was faster
        }
      });
      if (gone) this.#onRemoved(this);
      else ask(false);
    });
  }

  async #attempt(button, action) {
    const problem = this.#find('error');
    problem.hidden = true;
    button.disabled = true;
    try {
      await action();
      return true;
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
      return false;
    } finally {
      const focused = document.activeElement === document.body;
      button.disabled = false;
      if (focused && button.isConnected) button.focus(); // disabling took the focus away
    }
  }

  async #showFacts() {
    if (!this.#find('about').open) return;
    this.#factsAt = performance.now();
    let status;
    try {
      status = await api.cameraStatus(this.slug);
    } catch {
      return; // the header tells when the server is away
    }
    const list = this.element.querySelector('.facts');
    list.replaceChildren(...facts(this.#camera, status ?? {}, this.#stage.shown).flatMap(([term, value]) => {
      const [dt, dd] = [document.createElement('dt'), document.createElement('dd')];
      dt.textContent = term;
      dd.textContent = value;
      return [dt, dd];
    }));
  }

  #showAddresses() {
    const template = document.getElementById('address-template').content;
    this.element.querySelector('.addresses').replaceChildren(...api.addresses(this.#camera).map(([label, address]) => {
      const row = template.cloneNode(true).firstElementChild;
      const [text, input, button] = row.querySelectorAll('span, input, button');
      text.textContent = label;
      input.value = address;
      input.addEventListener('focus', () => input.select());
      button.setAttribute('aria-label', `Copy ${label} address`);
      button.addEventListener('click', () => copy(input, button));
      return row;
    }));
  }
}

function ago(ms) {
  if (ms < 10000) return `${(ms / 1000).toFixed(1)} s ago`;
  return ms < 120000 ? `${Math.round(ms / 1000)} s ago` : `${Math.round(ms / 60000)} min ago`;
}

/** Lines for the details of a camera; what the server does not know is left out. */
function facts(camera, { video, audio, worker, restarts, viewers, since, hls_error: hlsError }, shown) {
  const size = video?.width && video?.height ? `${video.width} × ${video.height}` : '';
  const rate = Number.isFinite(video?.fps) ? `${Number(video.fps.toFixed(1))} fps` : '';
  const bits = video?.bitrate > 0 ? `${(video.bitrate / 1e6).toFixed(1)} Mbit/s` : '';
  return [
    ['Camera', camera.url],
    ['Video', [codecName(video?.codec), size, rate, bits].filter(Boolean).join(', ')],
    ['Audio', soundLine(audio)],
    ['HLS plays', shown],
    ['HLS is not made', hlsError],
    ['Viewers', viewers && `${viewers.mjpeg ?? 0} JPEG, ${viewers.hls ?? 0} HLS`],
    ['Worker', worker],
    ['Restarts', restarts],
    ['State since', since && new Date(since).toLocaleString()],
    ['Runs unwatched', camera.always_on === undefined ? '' : camera.always_on ? 'yes' : 'no'],
  ].filter(([, value]) => value !== undefined && value !== null && value !== '');
}

async function copy(input, button) {
  let copied = true;
  try {
    await navigator.clipboard.writeText(input.value);
  } catch {
    // No clipboard on plain HTTP away from localhost: the old way, with the text selected in any case.
    input.select();
    copied = document.execCommand('copy');
  }
  button.textContent = copied ? 'Copied' : 'Press Ctrl+C';
  if (!copied) input.focus();
  setTimeout(() => { button.textContent = 'Copy'; }, 2000);
}
