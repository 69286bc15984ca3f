// Knows how to show a stream's HLS: hls.js over Media Source Extensions, or the browser's own HLS where that is all
// there is (iPhone). It never gives up: a camera that dies and comes back goes on in the same <video>.
//
// Three ways back, the gentlest first: hls.js' own retries, startLoad()/recoverMediaError(), a new player.

import { askForHls, whyNoPicture } from './api.js';
import { Backoff, SERVER_BACK, inSeconds } from './backoff.js';
import { enter, leave, plainLoader } from './low-latency.js';
import { AUTO, SOURCE, isH264, nameOf, pick } from './qualities.js';
import { codecName, sentence } from './words.js';

const WATCH_MS = 1000;
const NUDGE_MS = 5000; // a playhead that stands this long is put near the live edge
const REBUILD_MS = 20000; // and after this long, though the playlist grows, the player is made anew
const RENEW_MS = 120000; // the same when the playlist does not grow: rarely, as it plays the last seconds once more

// hls.js gives up a quality that was chosen when it cannot be had for a while, and then goes by bandwidth and size, which
// would start encoders. It is chosen again when nothing went wrong for this long.
const CHOOSE_AGAIN_MS = 20000;
const DECODE_AGAIN_MS = 5000; // a second fault of the decoder within this time is no accident

// The server may hold a playlist request for 10 s while a camera starts, then answers 503: both are normal life.
const patient = (retries) => ({
  default: {
    maxTimeToFirstByteMs: 15000,
    maxLoadTimeMs: 20000,
    timeoutRetry: { maxNumRetry: 3, retryDelayMs: 500, maxRetryDelayMs: 4000 },
    errorRetry: { maxNumRetry: retries, retryDelayMs: 1000, maxRetryDelayMs: 5000 },
  },
});
// How far behind, and how far at most, where the playlist names no distance itself. Set when the player is made: in
// CONFIG it would overrule the playlist.
const BEHIND = { liveSyncDurationCount: 2, liveMaxLatencyDurationCount: 6 };
const CONFIG = {
  maxLiveSyncPlaybackRate: 1.1,
  liveSyncOnStallIncrease: 0.35, // seconds: about a part. hls.js never takes it back, and its own whole second doubles the lag
  maxBufferLength: 12,
  maxMaxBufferLength: 20,
  backBufferLength: 10,
  capLevelToPlayerSize: true,
  manifestLoadPolicy: patient(6),
  playlistLoadPolicy: patient(8),
  fragLoadPolicy: patient(4),
};

let library = null;
/** hls.js is fetched with the first HLS pane: a page that shows JPEG only does without it. */
function loadLibrary() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = '/assets/hls.min.js';
    script.onload = () => resolve(window.Hls);
    script.onerror = () => {
      library = null;
      script.remove();
      reject(new Error('The player could not be loaded.'));
    };
    document.head.append(script);
  });
  return library;
}

export class HlsPlayer {
  #video;
  #slug;
  #onVeil;
  #onSound; // (bool) the stream has an audio track
  #onQualities; // (names) what can be chosen from; none where the browser chooses
  #quality;
  #refused = new Set(); // renditions that the browser said it can play, and could not
  #sourceCodec = '';
  #lowLatency = false; // has a place among those that may
  #hls = null;
  #retry = null;
  #watch = null;
  #run = 0; // grows with every connect and stop; what an older run awaited is dropped
  #backoff = new Backoff();
  #mediaRecoveredAt = 0;
  #erredAt = 0;
  #playhead = 0;
  #movedAt = 0;
  #nudgedAt = 0;
  #edge = NaN; // end of the newest media the playlist named, and when that last moved
  #grownAt = 0;

  lastFrameAt = 0; // performance.now() when the playhead was last seen moving; 0: never

  constructor({ video, slug, quality, onVeil, onSound, onQualities }) {
    this.#video = video;
    this.#slug = slug;
    this.#onVeil = onVeil;
    this.#onSound = onSound;
    this.#onQualities = onQualities;
    this.#quality = quality;
  }

  /** A rendition's name, or auto. What the stream does not have stands for the camera's own pictures. */
  setQuality(quality) {
    this.#quality = quality;
    if (this.#hls?.levels?.length) this.#hls.loadLevel = pick(this.#hls.levels, quality);
  }

  /** What is played now, as one line; empty where the browser does not tell. */
  get shown() {
    const level = this.#hls?.levels?.[this.#hls.currentLevel];
    if (!level) return '';
    const size = level.width && level.height ? `${level.width} × ${level.height}` : '';
    const instead = nameOf(level) !== SOURCE && this.#sourceUnplayable()
      ? `as this browser cannot play the camera's ${codecName(this.#sourceCodec)}` : '';
    const latency = this.#hls.lowLatencyMode && this.#hls.latestLevelDetails?.partList ? 'low latency' : '';
    return [codecName(level.videoCodec), size, latency, instead].filter(Boolean).join(', ');
  }

  #sourceUnplayable() {
    return Boolean(this.#sourceCodec) && !this.#hls.levels.some((level) => nameOf(level) === SOURCE);
  }

  /** Seconds behind the newest media the playlist names; NaN when unknown. */
  get behind() {
    if (this.#hls) return this.#hls.latency > 0 ? this.#hls.latency : NaN;
    const { seekable, currentTime } = this.#video;
    return seekable.length ? seekable.end(seekable.length - 1) - currentTime : NaN;
  }

  start() {
    if (this.#watch !== null) return;
    this.#watch = setInterval(this.#check, WATCH_MS);
    this.#video.addEventListener('timeupdate', this.#check);
    this.#video.addEventListener('click', this.#play);
    this.#video.addEventListener('error', this.#nativeError);
    this.#video.addEventListener('loadedmetadata', this.#nativeSound);
    addEventListener(SERVER_BACK, this.#retryNow);
    this.#connect();
  }

  stop() {
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    this.#retry = null;
    this.#watch = null;
    this.#run += 1;
    this.#video.removeEventListener('timeupdate', this.#check);
    this.#video.removeEventListener('click', this.#play);
    this.#video.removeEventListener('error', this.#nativeError);
    this.#video.removeEventListener('loadedmetadata', this.#nativeSound);
    removeEventListener(SERVER_BACK, this.#retryNow);
    this.#backoff.reset();
    this.#tearDown();
  }

  async #connect() {
    clearTimeout(this.#retry);
    this.#retry = null;
    const run = ++this.#run;
    this.#tearDown();
    this.#movedAt = performance.now();
    this.#onVeil(this.lastFrameAt ? 'Reconnecting…' : 'Connecting…');
    try {
      const [Hls, playlist] = await Promise.all([loadLibrary(), askForHls(this.#slug)]);
      if (run !== this.#run) return;
      this.#onVeil('Waiting for the first segments…');
      if (Hls.isSupported()) this.#playWith(Hls, playlist);
      else if (this.#video.canPlayType('application/vnd.apple.mpegurl')) this.#video.src = playlist;
      else this.#onVeil('This browser plays no HLS. Watch as JPEG instead.');
      this.#play();
    } catch (error) {
      if (run === this.#run) this.#again(error.message);
    }
  }

  #playWith(Hls, playlist) {
    this.#lowLatency = enter();
    const loader = this.#lowLatency ? {} : { pLoader: plainLoader(Hls) };
    const hls = new Hls({ ...CONFIG, ...loader, lowLatencyMode: this.#lowLatency });
    Object.assign(hls.config, BEHIND);
    this.#hls = hls;
    hls.on(Hls.Events.MANIFEST_LOADED, (_, { levels }) => {
      this.#sourceCodec = levels.find((level) => nameOf(level) === SOURCE)?.videoCodec ?? '';
    });
    hls.on(Hls.Events.MANIFEST_PARSED, () => this.#chooseLevel());
    hls.on(Hls.Events.BUFFER_CREATED, (_, { tracks }) => this.#onSound(Boolean(tracks.audio || tracks.audiovideo)));
    hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
      if (details.edge !== this.#edge) this.#grownAt = performance.now();
      this.#edge = details.edge;
    });
    hls.on(Hls.Events.ERROR, (_, error) => {
      this.#erredAt = performance.now();
      if (error.fatal && hls === this.#hls) this.#recover(Hls, error);
    });
    hls.loadSource(playlist);
    hls.attachMedia(this.#video);
  }

  #chooseLevel() {
    const hls = this.#hls;
    for (let at = hls.levels.length - 1; at >= 0; at -= 1) if (this.#refused.has(nameOf(hls.levels[at]))) hls.removeLevel(at);
    const chosen = pick(hls.levels, this.#quality);
    if (chosen >= 0) hls.startLevel = chosen;
    hls.loadLevel = chosen;
    const names = hls.levels.map(nameOf);
    this.#onQualities(names.length > 1 ? [AUTO, ...names.reverse()] : []);
  }

  // A browser may say that it plays H.265 and fail at it all the same: then something else is played, if there is.
  #refuseLevel() {
    const { levels, currentLevel, loadLevel } = this.#hls;
    const level = levels?.[currentLevel] ?? levels?.[loadLevel];
    if (!level || isH264(level) || !levels.some(isH264)) return false;
    this.#refused.add(nameOf(level));
    this.#connect();
    return true;
  }

  #recover(Hls, { type, details, response }) {
    const now = performance.now();
    const codec = /codec/i.test(details);
    if (type === Hls.ErrorTypes.MEDIA_ERROR && !codec && now - this.#mediaRecoveredAt > DECODE_AGAIN_MS) {
      this.#mediaRecoveredAt = now;
      this.#hls.recoverMediaError();
      this.#play();
      return;
    }
    if ((codec || type === Hls.ErrorTypes.MEDIA_ERROR) && this.#refuseLevel()) return;
    if (codec) {
      const name = codecName(this.#sourceCodec) || 'video';
      return this.#again(`This browser cannot play the camera's ${name}. Watch as JPEG instead.`);
    }
    const gone = response?.code >= 400 && response.code < 500;
    const hasPlaylist = this.#hls.levels?.length > 0;
    if (type === Hls.ErrorTypes.NETWORK_ERROR && hasPlaylist && !gone) {
      const hls = this.#hls;
      this.#again('The stream is interrupted.', () => (hls === this.#hls ? hls.startLoad() : this.#connect()));
      return;
    }
    if (response?.code === 503) this.#againAndWhy();
    else this.#again('The stream is interrupted.');
  }

  async #againAndWhy() {
    this.#again('No video yet.');
    const [run, retry] = [this.#run, this.#retry];
    const why = await whyNoPicture(this.#slug, 'hls');
    if (why && run === this.#run && retry === this.#retry) this.#onVeil(sentence(why));
  }

  #again(why, how = () => this.#connect()) {
    clearTimeout(this.#retry);
    const wait = this.#backoff.next();
    this.#retry = setTimeout(() => {
      this.#retry = null;
      how();
    }, wait);
    this.#onVeil(`${why} Trying again in ${inSeconds(wait)}.`);
  }

  // Looks at least once a second whether the picture moves: events alone miss a playhead that stands still for good.
  #check = () => {
    const video = this.#video;
    const now = performance.now();
    const lost = this.#hls?.autoLevelEnabled && this.#quality !== AUTO;
    if (lost && now - this.#erredAt > CHOOSE_AGAIN_MS) this.setQuality(this.#quality);
    if (video.currentTime !== this.#playhead && !video.paused && !video.seeking && video.readyState >= 2) {
      this.#playhead = video.currentTime;
      this.#movedAt = this.lastFrameAt = now;
      this.#backoff.reset();
      this.#onVeil('');
      return;
    }
    // Nothing on this page pauses; a browser that did (power saving, headphones unplugged) is asked to go on.
    if (video.paused && video.readyState >= 2) this.#play();
    const still = now - this.#movedAt;
    if (still < NUDGE_MS || video.paused) return;
    if (this.lastFrameAt) this.#onVeil('Waiting for the camera…');
    const live = this.#hls?.liveSyncPosition;
    if (live > video.currentTime + 1 && now - this.#nudgedAt > NUDGE_MS) {
      this.#nudgedAt = now;
      video.currentTime = live;
      this.#playhead = video.currentTime; // a jump is no motion
      this.#play();
    }
    const grows = now - this.#grownAt < REBUILD_MS / 2;
    if (still > (grows ? REBUILD_MS : RENEW_MS)) this.#connect();
  };

  #play = async () => {
    try {
      await this.#video.play();
    } catch (error) {
      if (error.name === 'NotAllowedError') this.#onVeil('The browser waits for you: click the picture to play.');
    }
  };

  #nativeError = () => {
    if (!this.#hls && this.#watch !== null && this.#video.getAttribute('src')) this.#again('The stream is interrupted.');
  };

  #nativeSound = () => {
    if (!this.#hls && this.#watch !== null) this.#onSound(this.#video.audioTracks?.length > 0);
  };

  #retryNow = () => {
    if (this.#retry === null) return;
    this.#backoff.reset();
    this.#connect();
  };

  #tearDown() {
    this.#hls?.destroy();
    this.#hls = null;
    if (this.#lowLatency) leave();
    this.#lowLatency = false;
    this.#onSound(false);
    this.#onQualities([]);
    this.#playhead = 0;
    if (this.#video.getAttribute('src')) {
      this.#video.removeAttribute('src');
      this.#video.load();
    }
  }
}
