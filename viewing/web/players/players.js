// This module combines the two ways to watch a camera in one place of the page: their players, the text over pictures
// that do not move, the figures, and the controls of HLS. The place decides which players run, and when.

import { find } from '../lib/dom.js';
import { HlsPlayer } from './hls-player.js';
import { JpegPlayer } from './jpeg-player.js';
import { chooseQuality, qualityFor } from './preferences.js';
import { SOURCE, label } from './qualities.js';

/** @import { StateMessage } from '../lib/api-types.js' */
/** @typedef {'off' | 'jpeg' | 'hls' | 'both'} Mode */
/** @typedef {'jpeg' | 'hls'} Kind */
/** @typedef {{ element: HTMLElement, veil: HTMLElement, stat: HTMLElement, running: boolean }} Pane */

/** @type {Record<Mode, Kind[]>} */
const PANES = { off: [], jpeg: ['jpeg'], hls: ['hls'], both: ['jpeg', 'hls'] };
export const MODES = /** @type {Mode[]} */ (Object.keys(PANES));

/**
 * @param {string | undefined} text
 * @returns {text is Mode}
 */
export const isMode = (text) => text !== undefined && text in PANES;

export class Players {
  /** @type {Pane & { canvas: HTMLCanvasElement, player: JpegPlayer }} */
  jpeg;
  /** @type {Pane & { video: HTMLVideoElement, player: HlsPlayer }} */
  #hls;
  #audio;

  /**
   * `element` holds two `[data-pane]`; `prefix` begins the classes of their parts. `muteKey` is shown to viewers.
   * @param {HTMLElement} element
   * @param {object} options
   * @param {string} options.slug
   * @param {(message: StateMessage) => void} options.onState
   * @param {string} [options.prefix]
   * @param {string} [options.muteKey]
   */
  constructor(element, { slug, onState, prefix = '', muteKey = '' }) {
    const jpeg = pane(element, 'jpeg', prefix);
    const canvas = find(jpeg.element, 'canvas', HTMLCanvasElement);
    this.jpeg = {
      ...jpeg,
      canvas,
      player: new JpegPlayer({ canvas, slug, onState, onVeil: (text) => setVeil(this.jpeg, text) }),
    };
    const hls = pane(element, 'hls', prefix);
    const video = find(hls.element, 'video', HTMLVideoElement);
    const audio = find(hls.element, '[data-act="sound"]', HTMLButtonElement);
    const quality = find(hls.element, '[data-act="quality"]', HTMLSelectElement);
    video.muted = true; // The attribute of a cloned template has no effect.
    this.#audio = audio;
    this.#hls = {
      ...hls,
      video,
      player: new HlsPlayer({
        video,
        slug,
        quality: qualityFor(slug),
        onVeil: (text) => setVeil(this.#hls, text),
        onQualities: (names) => offer(quality, names, qualityFor(slug)),
        onAudio: (has) => { audio.hidden = !has; },
      }),
    };
    audio.addEventListener('click', () => {
      video.muted = !video.muted;
      audio.setAttribute('aria-pressed', String(!video.muted));
      audio.title = `${video.muted ? 'Unmute' : 'Mute'}${muteKey}`;
    });
    quality.addEventListener('change', () => {
      chooseQuality(slug, quality.value);
      this.#hls.player.setQuality(quality.value);
    });
  }

  get video() {
    return this.#hls.video;
  }

  /** @param {string} name */
  setName(name) {
    this.jpeg.canvas.setAttribute('aria-label', `${name}, newest picture`);
    this.#hls.video.setAttribute('aria-label', `${name}, video`);
  }

  /** The encoding that the HLS pane plays, as one line; empty when it plays nothing. */
  get shown() {
    return this.#hls.running ? this.#hls.player.shown : '';
  }

  /** Mutes or unmutes, and returns whether audio is on; null where there is none. */
  toggleAudio() {
    if (this.#audio.hidden) return null;
    this.#audio.click();
    return this.#audio.getAttribute('aria-pressed') === 'true';
  }

  /**
   * Shows the panes of `mode`. Their players run when `allowed`; a pane whose player does not run shows `restingText`.
   * @param {Mode} mode
   * @param {boolean} allowed
   * @param {string} restingText
   * @param {() => void} [beforeJpeg] called before the JPEG player starts
   */
  apply(mode, allowed, restingText, beforeJpeg = () => {}) {
    const { jpeg } = this;
    const shown = PANES[mode];
    for (const one of [jpeg, this.#hls]) {
      const isJpeg = one === jpeg;
      const show = shown.includes(isJpeg ? 'jpeg' : 'hls');
      const run = show && allowed;
      one.element.hidden = !show;
      if (run !== one.running) {
        one.running = run;
        if (run && isJpeg) beforeJpeg();
        if (run) one.player.start();
        else one.player.stop();
      }
      if (run) continue;
      if (!show && isJpeg) jpeg.canvas.width = jpeg.canvas.height = 1; // The browser frees the pixels.
      if (!show) one.player.lastFrameAt = 0;
      one.veil.textContent = restingText;
    }
  }

  /** Writes the figures over the panes; returns the age of the newest picture in ms, NaN when none is watched. */
  tick() {
    const [jpeg, hls] = [this.jpeg, this.#hls];
    jpeg.stat.textContent = moves(jpeg) ? `${tenth(jpeg.player.fps)} fps` : '';
    const behind = moves(hls) ? hls.player.behind : NaN;
    hls.stat.textContent = behind >= 0 ? `${behind.toFixed(1)} s behind live` : '';
    const newest = Math.max(0, ...[jpeg, hls].filter((one) => one.running).map((one) => one.player.lastFrameAt));
    return newest ? performance.now() - newest : NaN;
  }
}

/**
 * @param {HTMLElement} element
 * @param {Kind} kind
 * @param {string} prefix
 * @returns {Pane}
 */
function pane(element, kind, prefix) {
  const own = find(element, `[data-pane="${kind}"]`, HTMLElement);
  return {
    element: own,
    veil: find(own, `.${prefix}veil`, HTMLElement),
    stat: find(own, `.${prefix}stat`, HTMLElement),
    running: false,
  };
}

/** @param {Pane & { player: { lastFrameAt: number } }} one */
const moves = (one) => one.running && one.player.lastFrameAt > 0 && one.veil.textContent === '';

/**
 * Writes only a difference: the players report the same text many times a second.
 * @param {Pane} one
 * @param {string} text
 */
function setVeil(one, text) {
  if (one.running && one.veil.textContent !== text) one.veil.textContent = text;
}

/**
 * The list stays as it is while its names are the same: the viewer may have it open. A player that reconnects has none.
 * @param {HTMLSelectElement} select
 * @param {string[]} names
 * @param {string} chosen
 */
function offer(select, names, chosen) {
  if (names.length) {
    const same = names.length === select.options.length && names.every((name, at) => select.options[at].value === name);
    if (!same) select.replaceChildren(...names.map((name) => new Option(label(name), name)));
    select.value = names.includes(chosen) ? chosen : names.includes(SOURCE) ? SOURCE : names[1];
  }
  select.hidden = names.length === 0;
}

/** @param {number} value */
const tenth = (value) => (value >= 10 ? Math.round(value) : Number(value.toFixed(1)));
