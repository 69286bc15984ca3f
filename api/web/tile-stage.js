// Knows the picture part of one tile: which panes the chosen mode has, when their players may run (in sight, not
// stopped), and what stands over a picture that does not move.

import { chooseQuality, qualityFor } from './choices.js';
import { rateFor, widthFor } from './frame-size.js';
import { HlsPlayer } from './hls-player.js';
import { JpegPlayer } from './jpeg-player.js';
import { SOURCE, label } from './qualities.js';
import { unwatchSight, watchSight } from './sight.js';

const SIZE_SETTLES_MS = 700; // a window being dragged asks for one new size, not for every one on its way
const SHOWS = { off: [], jpeg: ['jpeg'], hls: ['hls'], both: ['jpeg', 'hls'] };

export class TileStage {
  #element;
  #panes; // {jpeg: {pane, veil, stat, player, running}, hls: {...}}
  #mode = 'off';
  #seen = false;
  #stopped = false;
  #tiles = 1;
  #sound;
  #resized = null;
  #size = new ResizeObserver(() => {
    clearTimeout(this.#resized);
    this.#resized = setTimeout(() => this.#ask(), this.#panes.jpeg.player.width ? SIZE_SETTLES_MS : 0);
  });

  constructor(element, { slug, onEvent }) {
    this.#element = element;
    const part = (kind) => {
      const pane = element.querySelector(`[data-pane="${kind}"]`);
      return { pane, veil: pane.querySelector('.veil'), stat: pane.querySelector('.stat'), running: false };
    };
    this.#panes = { jpeg: part('jpeg'), hls: part('hls') };
    const { jpeg, hls } = this.#panes;
    const sound = hls.pane.querySelector('[data-act="sound"]');
    this.#sound = sound;
    const quality = hls.pane.querySelector('[data-act="quality"]');
    const video = hls.pane.querySelector('video');
    jpeg.picture = jpeg.pane.querySelector('canvas');
    hls.picture = video;
    video.muted = true; // the attribute of a cloned template does not count
    jpeg.player = new JpegPlayer({ canvas: jpeg.picture, slug, onEvent, onVeil: (text) => this.#veil(jpeg, text) });
    hls.player = new HlsPlayer({
      video,
      slug,
      quality: qualityFor(slug),
      onVeil: (text) => this.#veil(hls, text),
      onQualities: (names) => offer(quality, names, qualityFor(slug)),
      onSound: (has) => { sound.hidden = !has; },
    });
    sound.addEventListener('click', () => {
      video.muted = !video.muted;
      sound.setAttribute('aria-pressed', String(!video.muted));
      sound.title = video.muted ? 'Unmute (M)' : 'Mute (M)';
    });
    quality.addEventListener('change', () => {
      chooseQuality(slug, quality.value);
      hls.player.setQuality(quality.value);
    });
    this.#size.observe(jpeg.pane);
    watchSight(element, (seen) => {
      this.#seen = seen;
      this.#apply();
    });
  }

  setName(name) {
    this.#panes.jpeg.picture.setAttribute('aria-label', `${name}, newest picture`);
    this.#panes.hls.picture.setAttribute('aria-label', `${name}, video`);
  }

  setMode(mode) {
    this.#mode = mode;
    this.#element.dataset.mode = mode;
    this.#apply();
  }

  /** How many tiles share the wall: on a full one, frames come slower. */
  setCrowd(tiles) {
    this.#tiles = tiles;
    this.#ask();
  }

  /** Sound on or off; null where there is none. */
  toggleSound() {
    if (this.#sound.hidden) return null;
    this.#sound.click();
    return this.#sound.getAttribute('aria-pressed') === 'true';
  }

  /** What the HLS pane plays, as one line; empty when it plays nothing. */
  get shown() {
    return this.#panes.hls.running ? this.#panes.hls.player.shown : '';
  }

  /** A stopped stream refuses viewers: its players rest until it is started again. */
  setStopped(stopped) {
    if (stopped === this.#stopped) return;
    this.#stopped = stopped;
    this.#apply();
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

  destroy() {
    unwatchSight(this.#element);
    this.#size.disconnect();
    clearTimeout(this.#resized);
    this.#seen = false;
    this.#apply();
  }

  // As wide as the pane is on this screen, in the screen's own pixels.
  #ask() {
    const { pane, player } = this.#panes.jpeg;
    if (!pane.clientWidth) return;
    player.ask({ width: widthFor(pane.clientWidth * devicePixelRatio, player.width), fps: rateFor(this.#tiles) });
  }

  #apply() {
    for (const [kind, one] of Object.entries(this.#panes)) {
      const shown = SHOWS[this.#mode].includes(kind);
      const run = shown && this.#seen && !this.#stopped;
      one.pane.hidden = !shown;
      if (run !== one.running) {
        one.running = run;
        if (run && kind === 'jpeg') this.#ask();
        if (run) one.player.start();
        else one.player.stop();
      }
      if (run) continue;
      if (!shown && kind === 'jpeg') one.picture.width = one.picture.height = 1; // gives the pixels back
      if (!shown) one.player.lastFrameAt = 0;
      one.veil.textContent = this.#stopped ? '' : 'Paused while out of sight.';
    }
  }

  // Written only when it differs: the players say the same thing many times a second.
  #veil(one, text) {
    if (one.running && one.veil.textContent !== text) one.veil.textContent = text;
  }
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
