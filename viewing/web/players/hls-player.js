// This module plays a stream's HLS: hls.js over Media Source Extensions, or the browser's own HLS where there is nothing
// else (iPhone). It never gives up: a camera that fails and returns continues in the same <video>.
//
// Three recoveries, the gentlest first: the retries of hls.js, startLoad() or recoverMediaError(), a new player.

import { outageReason, requestHls } from '../lib/api.js';
import { Backoff, SERVER_BACK, inSeconds } from '../lib/backoff.js';
import { codecName, messageOf, sentence, sizeText } from '../lib/text.js';
import { LIVE_DISTANCE, hlsOptions, loadHls } from './hls-library.js';
import { acquire, release } from './low-latency.js';
import { AUTO, SOURCE, isH264, nameOf, pick } from './qualities.js';

/** @import Hls from 'hls.js' */
/** @import { ErrorData } from 'hls.js' */

const WATCH_MS = 1000;
const NUDGE_MS = 5000; // A playhead that stands for so long is moved near the live edge.
const REBUILD_MS = 20000; // After so long, though the playlist grows, the player is replaced.
const RENEW_MS = 120000; // The same when the playlist does not grow: rarely, as it plays the last seconds once more.

// hls.js gives up a chosen quality that cannot be had for a while, and then goes by bandwidth and size, which would start
// encoders. The quality is chosen again when there was no error for this long.
const CHOOSE_AGAIN_MS = 20000;
const DECODE_AGAIN_MS = 5000; // A second fault of the decoder within this time is no accident.
const HAVE_CURRENT_DATA = 2; // HTMLMediaElement.readyState

export class HlsPlayer {
  #video;
  #slug;
  #onVeil;
  #onAudio;
  #onQualities;
  #quality;
  /** @type {Set<string>} Renditions that the browser claimed to play and could not; bounded by the renditions of a stream. */
  #refused = new Set();
  #sourceCodec = '';
  #lowLatency = false; // This player has a place among those with low latency.
  /** @type {Hls | null} */
  #hls = null;
  /** @type {Timer | undefined} */
  #retry;
  /** @type {Timer | undefined} */
  #watch;
  #run = 0; // Grows with every connect and stop; what an older run awaited is dropped.
  #backoff = new Backoff();
  #mediaRecoveredAt = 0;
  #erredAt = 0;
  #playhead = 0;
  #movedAt = 0;
  #nudgedAt = 0;
  #edge = NaN; // seconds: end of the newest media that the playlist named
  #grownAt = 0; // performance.now() when `#edge` last moved

  lastFrameAt = 0; // performance.now() when the playhead was last seen moving; 0: never

  /**
   * @param {object} options
   * @param {HTMLVideoElement} options.video
   * @param {string} options.slug
   * @param {string} options.quality
   * @param {(text: string) => void} options.onVeil text over the picture; '' while it moves
   * @param {(has: boolean) => void} options.onAudio tells whether the stream has an audio track
   * @param {(names: string[]) => void} options.onQualities qualities to choose from; none where the browser chooses
   */
  constructor({ video, slug, quality, onVeil, onAudio, onQualities }) {
    this.#video = video;
    this.#slug = slug;
    this.#onVeil = onVeil;
    this.#onAudio = onAudio;
    this.#onQualities = onQualities;
    this.#quality = quality;
  }

  get #running() {
    return this.#watch !== undefined;
  }

  /**
   * Chooses a rendition by name, or auto. A quality that the stream does not have selects the camera's own encoding.
   * @param {string} quality
   */
  setQuality(quality) {
    this.#quality = quality;
    if (this.#hls?.levels?.length) this.#hls.loadLevel = pick(this.#hls.levels, quality);
  }

  /** The encoding that is played now, as one line; empty where the browser does not tell. */
  get shown() {
    const hls = this.#hls;
    const level = hls?.levels?.[hls.currentLevel];
    if (!hls || !level) return '';
    const instead = nameOf(level) !== SOURCE && this.#sourceUnplayable(hls)
      ? `because this browser cannot play the camera's ${codecName(this.#sourceCodec)}` : '';
    const latency = hls.lowLatencyMode && hls.latestLevelDetails?.partList ? 'low latency' : '';
    return [codecName(level.videoCodec), sizeText(level), latency, instead].filter(Boolean).join(', ');
  }

  /** @param {Hls} hls */
  #sourceUnplayable(hls) {
    return this.#sourceCodec !== '' && !hls.levels.some((level) => nameOf(level) === SOURCE);
  }

  /** Seconds behind the newest media that the playlist names; NaN when unknown. */
  get behind() {
    if (this.#hls) return this.#hls.latency > 0 ? this.#hls.latency : NaN;
    const { seekable, currentTime } = this.#video;
    return seekable.length ? seekable.end(seekable.length - 1) - currentTime : NaN;
  }

  start() {
    if (this.#running) return;
    this.#watch = setInterval(this.#check, WATCH_MS);
    this.#video.addEventListener('timeupdate', this.#check);
    this.#video.addEventListener('click', this.#onClick);
    this.#video.addEventListener('error', this.#nativeError);
    this.#video.addEventListener('loadedmetadata', this.#nativeAudio);
    addEventListener(SERVER_BACK, this.#retryNow);
    void this.#connect();
  }

  stop() {
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#watch = undefined;
    this.#run += 1;
    this.#video.removeEventListener('timeupdate', this.#check);
    this.#video.removeEventListener('click', this.#onClick);
    this.#video.removeEventListener('error', this.#nativeError);
    this.#video.removeEventListener('loadedmetadata', this.#nativeAudio);
    removeEventListener(SERVER_BACK, this.#retryNow);
    this.#backoff.reset();
    this.#tearDown();
  }

  async #connect() {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#run += 1;
    const run = this.#run;
    this.#tearDown();
    this.#movedAt = performance.now();
    this.#onVeil(this.lastFrameAt ? 'Reconnecting…' : 'Connecting…');
    try {
      const [library, playlist] = await Promise.all([loadHls(), requestHls(this.#slug)]);
      if (run !== this.#run) return;
      this.#onVeil('Waiting for the first segments…');
      if (library.isSupported()) this.#playWith(library, playlist);
      else if (this.#video.canPlayType('application/vnd.apple.mpegurl')) this.#video.src = playlist;
      else this.#onVeil('This browser cannot play HLS. Use JPEG instead.');
      void this.#play();
    } catch (error) {
      if (run === this.#run) this.#retryLater(messageOf(error));
    }
  }

  /**
   * @param {typeof Hls} library
   * @param {string} playlist
   */
  #playWith(library, playlist) {
    this.#lowLatency = acquire();
    const hls = new library(hlsOptions(library, this.#lowLatency));
    Object.assign(hls.config, LIVE_DISTANCE);
    this.#hls = hls;
    hls.on(library.Events.MANIFEST_LOADED, (_, { levels }) => {
      this.#sourceCodec = levels.find((level) => nameOf(level) === SOURCE)?.videoCodec ?? '';
    });
    hls.on(library.Events.MANIFEST_PARSED, () => this.#chooseLevel(hls));
    hls.on(library.Events.BUFFER_CREATED, (_, { tracks }) => this.#onAudio(Boolean(tracks.audio || tracks.audiovideo)));
    hls.on(library.Events.LEVEL_UPDATED, (_, { details }) => {
      if (details.edge !== this.#edge) this.#grownAt = performance.now();
      this.#edge = details.edge;
    });
    hls.on(library.Events.ERROR, (_, error) => {
      this.#erredAt = performance.now();
      if (error.fatal && hls === this.#hls) this.#recover(library, hls, error);
    });
    hls.loadSource(playlist);
    hls.attachMedia(this.#video);
  }

  /** @param {Hls} hls */
  #chooseLevel(hls) {
    for (let at = hls.levels.length - 1; at >= 0; at -= 1) if (this.#refused.has(nameOf(hls.levels[at]))) hls.removeLevel(at);
    const chosen = pick(hls.levels, this.#quality);
    if (chosen >= 0) hls.startLevel = chosen;
    hls.loadLevel = chosen;
    const names = hls.levels.map(nameOf);
    this.#onQualities(names.length > 1 ? [AUTO, ...names.reverse()] : []);
  }

  /**
   * A browser may claim to play H.265 and fail at it: then another rendition is played, if there is one.
   * @param {Hls} hls
   */
  #refuseLevel(hls) {
    const { levels, currentLevel, loadLevel } = hls;
    const level = levels?.[currentLevel] ?? levels?.[loadLevel];
    if (!level || isH264(level) || !levels.some(isH264)) return false;
    this.#refused.add(nameOf(level));
    void this.#connect();
    return true;
  }

  /**
   * @param {typeof Hls} library
   * @param {Hls} hls
   * @param {ErrorData} error
   */
  #recover(library, hls, { type, details, response }) {
    const now = performance.now();
    const codec = /codec/i.test(details);
    const media = type === library.ErrorTypes.MEDIA_ERROR;
    if (media && !codec && now - this.#mediaRecoveredAt > DECODE_AGAIN_MS) {
      this.#mediaRecoveredAt = now;
      hls.recoverMediaError();
      void this.#play();
      return;
    }
    if ((codec || media) && this.#refuseLevel(hls)) return;
    if (codec) {
      const name = codecName(this.#sourceCodec) || 'video';
      this.#retryLater(`This browser cannot play the camera's ${name}. Use JPEG instead.`);
      return;
    }
    const code = response?.code ?? 0;
    const refused = code >= 400 && code < 500;
    if (type === library.ErrorTypes.NETWORK_ERROR && hls.levels?.length > 0 && !refused) {
      this.#retryLater('The stream is interrupted.', () => {
        if (hls === this.#hls) hls.startLoad();
        else void this.#connect();
      });
    } else if (code === 503) void this.#retryWithReason();
    else this.#retryLater('The stream is interrupted.');
  }

  async #retryWithReason() {
    this.#retryLater('No video yet.');
    const [run, retry] = [this.#run, this.#retry];
    const reason = await outageReason(this.#slug, 'hls');
    if (reason && run === this.#run && retry === this.#retry) this.#onVeil(sentence(reason));
  }

  /**
   * @param {string} reason
   * @param {() => void} [retry]
   */
  #retryLater(reason, retry = () => void this.#connect()) {
    clearTimeout(this.#retry);
    const wait = this.#backoff.next();
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      retry();
    }, wait);
    this.#onVeil(`${reason} Trying again in ${inSeconds(wait)}.`);
  }

  // This check runs at least once a second: media events alone miss a playhead that stands still for good.
  #check = () => {
    const video = this.#video;
    const now = performance.now();
    const lostQuality = this.#hls?.autoLevelEnabled && this.#quality !== AUTO;
    if (lostQuality && now - this.#erredAt > CHOOSE_AGAIN_MS) this.setQuality(this.#quality);
    if (video.currentTime !== this.#playhead && !video.paused && !video.seeking && video.readyState >= HAVE_CURRENT_DATA) {
      this.#playhead = video.currentTime;
      this.#movedAt = this.lastFrameAt = now;
      this.#backoff.reset();
      this.#onVeil('');
      return;
    }
    // Nothing on this page pauses; a browser that did (power saving, headphones unplugged) is asked to continue.
    if (video.paused && video.readyState >= HAVE_CURRENT_DATA) void this.#play();
    const still = now - this.#movedAt;
    if (still < NUDGE_MS || video.paused) return;
    if (this.lastFrameAt) this.#onVeil('Waiting for the camera…');
    const live = this.#hls?.liveSyncPosition ?? NaN;
    if (live > video.currentTime + 1 && now - this.#nudgedAt > NUDGE_MS) {
      this.#nudgedAt = now;
      video.currentTime = live;
      this.#playhead = video.currentTime; // A jump is no motion.
      void this.#play();
    }
    const grows = now - this.#grownAt < REBUILD_MS / 2;
    if (still > (grows ? REBUILD_MS : RENEW_MS)) void this.#connect();
  };

  async #play() {
    try {
      await this.#video.play();
    } catch (error) {
      const blocked = error instanceof DOMException && error.name === 'NotAllowedError';
      if (blocked) this.#onVeil('The browser blocked playback. Click the picture to play.');
    }
  }

  #onClick = () => void this.#play();

  #nativeError = () => {
    if (!this.#hls && this.#running && this.#video.getAttribute('src')) this.#retryLater('The stream is interrupted.');
  };

  #nativeAudio = () => {
    if (!this.#hls && this.#running) this.#onAudio((this.#video.audioTracks?.length ?? 0) > 0);
  };

  #retryNow = () => {
    if (this.#retry === undefined) return;
    this.#backoff.reset();
    void this.#connect();
  };

  #tearDown() {
    this.#hls?.destroy();
    this.#hls = null;
    if (this.#lowLatency) release();
    this.#lowLatency = false;
    this.#onAudio(false);
    this.#onQualities([]);
    this.#playhead = 0;
    if (this.#video.getAttribute('src')) {
      this.#video.removeAttribute('src');
      this.#video.load();
    }
  }
}
