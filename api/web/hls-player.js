// Knows how to show a stream's HLS: hls.js over Media Source Extensions, or the browser's own HLS where that is all
// there is (iPhone). It never gives up: a camera that dies and comes back goes on in the same <video>.
//
// Three ways back, the gentlest first: hls.js' own retries, startLoad()/recoverMediaError(), a new player.

import { askForHls } from './api.js';
import { Backoff, SERVER_BACK, inSeconds } from './backoff.js';

const WATCH_MS = 1000;
const NUDGE_MS = 5000; // a playhead that stands this long is put near the live edge
const REBUILD_MS = 20000; // and after this long, though the playlist grows, the player is made anew
const RENEW_MS = 120000; // the same when the playlist does not grow: rarely, as it plays the last seconds once more

// The server may hold a playlist request for 10 s while a camera starts, then answers 503: both are normal life.
const patient = (retries) => ({
  default: {
    maxTimeToFirstByteMs: 15000,
    maxLoadTimeMs: 20000,
    timeoutRetry: { maxNumRetry: 3, retryDelayMs: 500, maxRetryDelayMs: 4000 },
    errorRetry: { maxNumRetry: retries, retryDelayMs: 1000, maxRetryDelayMs: 5000 },
  },
});
const CONFIG = {
  liveSyncDurationCount: 2,
  liveMaxLatencyDurationCount: 6,
  maxLiveSyncPlaybackRate: 1.1,
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
  #hls = null;
  #retry = null;
  #watch = null;
  #run = 0; // grows with every connect and stop; what an older run awaited is dropped
  #backoff = new Backoff();
  #mediaRecoveredAt = 0;
  #playhead = 0;
  #movedAt = 0;
  #nudgedAt = 0;
  #edge = NaN; // end of the newest media the playlist named, and when that last moved
  #grownAt = 0;

  lastFrameAt = 0; // performance.now() when the playhead was last seen moving; 0: never

  constructor({ video, slug, onVeil, onSound }) {
    this.#video = video;
    this.#slug = slug;
    this.#onVeil = onVeil;
    this.#onSound = onSound;
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
    const hls = new Hls(CONFIG);
    this.#hls = hls;
    hls.on(Hls.Events.BUFFER_CREATED, (_, { tracks }) => this.#onSound(Boolean(tracks.audio || tracks.audiovideo)));
    hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
      if (details.edge !== this.#edge) this.#grownAt = performance.now();
      this.#edge = details.edge;
    });
    hls.on(Hls.Events.ERROR, (_, error) => {
      if (error.fatal && hls === this.#hls) this.#recover(Hls, error);
    });
    hls.loadSource(playlist);
    hls.attachMedia(this.#video);
  }

  #recover(Hls, { type, details, response }) {
    const now = performance.now();
    if (type === Hls.ErrorTypes.MEDIA_ERROR && now - this.#mediaRecoveredAt > 5000 && !/codec/i.test(details)) {
      this.#mediaRecoveredAt = now;
      this.#hls.recoverMediaError();
      this.#play();
      return;
    }
    if (/codec/i.test(details)) return this.#again("This browser cannot play the camera's codec. Watch as JPEG instead.");
    const gone = response?.code >= 400 && response.code < 500;
    const hasPlaylist = this.#hls.levels?.length > 0;
    if (type === Hls.ErrorTypes.NETWORK_ERROR && hasPlaylist && !gone) {
      const hls = this.#hls;
      this.#again('The stream is interrupted.', () => (hls === this.#hls ? hls.startLoad() : this.#connect()));
      return;
    }
    this.#again(response?.code === 503 ? 'No video yet.' : 'The stream is interrupted.');
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

  #retryNow = () => {
    if (this.#retry === null) return;
    this.#backoff.reset();
    this.#connect();
  };

  #tearDown() {
    this.#hls?.destroy();
    this.#hls = null;
    this.#onSound(false);
    this.#playhead = 0;
    if (this.#video.getAttribute('src')) {
      this.#video.removeAttribute('src');
      this.#video.load();
    }
  }
}
