// Knows the two ways to watch a camera in one place of the page: their players, what stands over pictures that do not
// move, the figures, and the controls of HLS. Which of them run, and when, is the place's matter.

import { chooseQuality, qualityFor } from './choices.js';
import { HlsPlayer } from './hls-player.js';
import { JpegPlayer } from './jpeg-player.js';
import { SOURCE, label } from './qualities.js';

const SHOWS = { off: [], jpeg: ['jpeg'], hls: ['hls'], both: ['jpeg', 'hls'] };

export class Players {
  #panes; // {jpeg: {pane, picture, veil, stat, player, running}, hls: {...}}
  #sound;

  /** In `element` stand two `[data-pane]`; `prefix` begins the classes of what is in them. `soundKey` is named to people. */
  constructor(element, { slug, onEvent, prefix = '', soundKey = '' }) {
    const part = (kind) => {
      const pane = element.querySelector(`[data-pane="${kind}"]`);
      const [picture, veil, stat] = ['canvas, video', `.${prefix}veil`, `.${prefix}stat`].map((one) => pane.querySelector(one));
      return { pane, picture, veil, stat, running: false };
    };
    const [jpeg, hls] = [part('jpeg'), part('hls')];
    this.#panes = { jpeg, hls };
    const [sound, quality] = ['sound', 'quality'].map((act) => hls.pane.querySelector(`[data-act="${act}"]`));
    this.#sound = sound;
    const video = hls.picture;
    video.muted = true; // the attribute of a cloned template does not count
    jpeg.player = new JpegPlayer({ canvas: jpeg.picture, slug, onEvent, onVeil: (text) => veil(jpeg, text) });
    hls.player = new HlsPlayer({
      video,
      slug,
      quality: qualityFor(slug),
      onVeil: (text) => veil(hls, text),
      onQualities: (names) => offer(quality, names, qualityFor(slug)),
      onSound: (has) => { sound.hidden = !has; },
    });
    sound.addEventListener('click', () => {
      video.muted = !video.muted;
      sound.setAttribute('aria-pressed', String(!video.muted));
      sound.title = `${video.muted ? 'Unmute' : 'Mute'}${soundKey}`;
    });
    quality.addEventListener('change', () => {
      chooseQuality(slug, quality.value);
      hls.player.setQuality(quality.value);
    });
  }

  get jpeg() {
    return this.#panes.jpeg;
  }

  get video() {
    return this.#panes.hls.picture;
  }

  setName(name) {
    this.#panes.jpeg.picture.setAttribute('aria-label', `${name}, newest picture`);
    this.#panes.hls.picture.setAttribute('aria-label', `${name}, video`);
  }

  /** What the HLS pane plays, as one line; empty when it plays nothing. */
  get shown() {
    return this.#panes.hls.running ? this.#panes.hls.player.shown : '';
  }

  /** Sound on or off; null where there is none. */
  toggleSound() {
    if (this.#sound.hidden) return null;
    this.#sound.click();
    return this.#sound.getAttribute('aria-pressed') === 'true';
  }

  /** Shows the panes of `mode`. Their players run when they `may`; over one that does not stands `resting`. */
  apply(mode, may, resting, beforeJpeg = () => {}) {
    for (const [kind, one] of Object.entries(this.#panes)) {
      const shown = SHOWS[mode].includes(kind);
      const run = shown && may;
      one.pane.hidden = !shown;
      if (run !== one.running) {
        one.running = run;
        if (run && kind === 'jpeg') beforeJpeg();
        if (run) one.player.start();
        else one.player.stop();
      }
      if (run) continue;
      if (!shown && kind === 'jpeg') one.picture.width = one.picture.height = 1; // gives the pixels back
      if (!shown) one.player.lastFrameAt = 0;
      one.veil.textContent = resting;
    }
  }

  /** Writes the figures over the panes; gives the age of the newest picture in ms, NaN when none is watched. */
  tick() {
    const { jpeg, hls } = this.#panes;
    const moves = (one) => one.running && one.player.lastFrameAt > 0 && one.veil.textContent === '';
    jpeg.stat.textContent = moves(jpeg) ? `${tenth(jpeg.player.fps)} fps` : '';
    const behind = moves(hls) ? hls.player.behind : NaN;
    hls.stat.textContent = behind >= 0 ? `${behind.toFixed(1)} s behind live` : '';
    const newest = Math.max(0, ...[jpeg, hls].filter((one) => one.running).map((one) => one.player.lastFrameAt));
    return newest ? performance.now() - newest : NaN;
  }
}

// Written only when it differs: the players say the same thing many times a second.
function veil(one, text) {
  if (one.running && one.veil.textContent !== text) one.veil.textContent = text;
}

// The list is left alone while it says the same: a person may have it open. While a player connects anew it has none.
function offer(select, names, chosen) {
  if (names.length) {
    const same = names.length === select.options.length && names.every((name, at) => select.options[at].value === name);
    if (!same) select.replaceChildren(...names.map((name) => new Option(label(name), name)));
    select.value = names.includes(chosen) ? chosen : names.includes(SOURCE) ? SOURCE : names[1];
  }
  select.hidden = names.length === 0;
}

const tenth = (value) => (value >= 10 ? Math.round(value) : Number(value.toFixed(1)));
