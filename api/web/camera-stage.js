// Knows the pictures of a camera's own page: JPEG and HLS side by side or one of them large, with sound, quality and
// full screen. Players rest while nobody sees them and while the camera is stopped.

import { chooseQuality, qualityFor } from './choices.js';
import { HlsPlayer } from './hls-player.js';
import { JpegPlayer } from './jpeg-player.js';
import { SOURCE, label } from './qualities.js';
import { unwatchSight, watchSight } from './sight.js';

const SHOWS = { both: ['jpeg', 'hls'], jpeg: ['jpeg'], hls: ['hls'] };
const ROOM_FOR_BOTH = '(min-width: 900px)';
let chosen = null; // kept while the page is open: whoever goes from camera to camera wants the same

export class CameraStage {
  #element;
  #panes = {}; // kind -> {pane, veil, stat, player, running}
  #mode;
  #seen = false;
  #stopped = false;
  #known = false;

  constructor(element, { slug, onEvent }) {
    this.#element = element;
    const video = element.querySelector('video');
    const canvas = element.querySelector('canvas');
    video.muted = true; // the attribute of a cloned template does not count
    for (const kind of ['jpeg', 'hls']) {
      const pane = element.querySelector(`[data-pane="${kind}"]`);
      this.#panes[kind] = { pane, veil: pane.querySelector('.cp-veil'), stat: pane.querySelector('.cp-stat'), running: false };
    }
    const { jpeg, hls } = this.#panes;
    const sound = hls.pane.querySelector('[data-act="sound"]');
    const quality = hls.pane.querySelector('[data-act="quality"]');
    jpeg.player = new JpegPlayer({ canvas, slug, onEvent, onVeil: (text) => this.#veil(jpeg, text) });
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
      sound.title = video.muted ? 'Unmute' : 'Mute';
    });
    quality.addEventListener('change', () => {
      chooseQuality(slug, quality.value);
      hls.player.setQuality(quality.value);
    });
    element.addEventListener('click', ({ target }) => {
      const button = target.closest('[data-act="full"]');
      if (button) fullScreen(button.closest('.cp-pane'), video);
    });
    this.#mode = chosen ?? (matchMedia(ROOM_FOR_BOTH).matches ? 'both' : 'jpeg');
    watchSight(element, (seen) => {
      this.#seen = seen;
      this.#apply();
    });
    this.#apply();
  }

  get mode() {
    return this.#mode;
  }

  /** both, jpeg or hls. */
  setMode(mode) {
    chosen = mode;
    this.#mode = mode;
    this.#apply();
  }

  setName(name) {
    this.#element.querySelector('canvas').setAttribute('aria-label', `${name}, newest picture`);
    this.#element.querySelector('video').setAttribute('aria-label', `${name}, video`);
  }

  /** A stopped stream refuses viewers; of one that is not known yet nothing is asked. */
  setStopped(stopped, { known }) {
    if (stopped === this.#stopped && known === this.#known) return;
    this.#stopped = stopped;
    this.#known = known;
    this.#apply();
  }

  /** What HLS plays, as one line; empty when it plays nothing. */
  get shown() {
    return this.#panes.hls.running ? this.#panes.hls.player.shown : '';
  }

  /** Writes the figures over the pictures. */
  tick() {
    const { jpeg, hls } = this.#panes;
    const moves = (one) => one.running && one.player.lastFrameAt > 0 && one.veil.textContent === '';
    jpeg.stat.textContent = moves(jpeg) ? `${tenth(jpeg.player.fps)} fps` : '';
    const behind = moves(hls) ? hls.player.behind : NaN;
    hls.stat.textContent = behind >= 0 ? `${behind.toFixed(1)} s behind live` : '';
  }

  close() {
    unwatchSight(this.#element);
    this.#seen = false;
    this.#apply();
  }

  #apply() {
    this.#element.dataset.mode = this.#mode;
    for (const [kind, one] of Object.entries(this.#panes)) {
      const shown = SHOWS[this.#mode].includes(kind);
      const run = shown && this.#seen && this.#known && !this.#stopped;
      one.pane.hidden = !shown;
      if (run !== one.running) {
        one.running = run;
        if (run) one.player.start();
        else one.player.stop();
      }
      if (!run) one.veil.textContent = this.#stopped ? 'Stopped. Press Start to watch.' : '';
    }
  }

  // Written only when it differs: the players say the same thing many times a second.
  #veil(one, text) {
    if (one.running && one.veil.textContent !== text) one.veil.textContent = text;
  }
}

// The list is left alone while it says the same: a person may have it open. While a player connects anew it has none.
function offer(select, names, wanted) {
  if (names.length) {
    const same = names.length === select.options.length && names.every((name, at) => select.options[at].value === name);
    if (!same) select.replaceChildren(...names.map((name) => new Option(label(name), name)));
    select.value = names.includes(wanted) ? wanted : names.includes(SOURCE) ? SOURCE : names[1];
  }
  select.hidden = names.length === 0;
}

const tenth = (value) => (value >= 10 ? Math.round(value) : Number(value.toFixed(1)));

function fullScreen(pane, video) {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (pane.requestFullscreen) pane.requestFullscreen().catch(() => {});
  else if (pane.contains(video)) video.webkitEnterFullscreen?.(); // iPhone: videos only
}
