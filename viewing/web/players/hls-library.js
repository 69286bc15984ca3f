// This module loads hls.js and holds its settings.

import { ROOT } from '../lib/root.js';
import { loaderWithoutParts } from './low-latency.js';

/** @import Hls from 'hls.js' */
/** @import { HlsConfig, LoadPolicy } from 'hls.js' */

/** @type {Promise<typeof Hls> | null} */
let library = null;

/** Loads hls.js with the first HLS pane: a page that shows only JPEG does without it. */
export function loadHls() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = `${ROOT}/assets/hls.min.js`;
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

/**
 * The server may hold a playlist request for 10 s while a camera starts, then answers 503: both are normal.
 * @param {number} retries
 * @returns {LoadPolicy}
 */
const patient = (retries) => ({
  default: {
    maxTimeToFirstByteMs: 15000,
    maxLoadTimeMs: 20000,
    timeoutRetry: { maxNumRetry: 3, retryDelayMs: 500, maxRetryDelayMs: 4000 },
    errorRetry: { maxNumRetry: retries, retryDelayMs: 1000, maxRetryDelayMs: 5000 },
  },
});

/** @type {Partial<HlsConfig>} */
const OPTIONS = {
  maxLiveSyncPlaybackRate: 1.1,
  liveSyncOnStallIncrease: 0.35, // seconds, about a part: hls.js never reduces it, and its default of 1 s doubles the lag
  maxBufferLength: 12,
  maxMaxBufferLength: 20,
  backBufferLength: 10,
  capLevelToPlayerSize: true,
  manifestLoadPolicy: patient(6),
  playlistLoadPolicy: patient(8),
  fragLoadPolicy: patient(4),
};

/** Segments behind the live edge, and at most, where the playlist names no distance itself. */
export const LIVE_DISTANCE = { liveSyncDurationCount: 2, liveMaxLatencyDurationCount: 6 };

/**
 * Returns the settings of a player. `LIVE_DISTANCE` is set after it is made: as an option it would overrule the playlist.
 * @param {typeof Hls} hls
 * @param {boolean} lowLatency
 * @returns {Partial<HlsConfig>}
 */
export function hlsOptions(hls, lowLatency) {
  const loader = lowLatency ? {} : { pLoader: loaderWithoutParts(hls) };
  return { ...OPTIONS, ...loader, lowLatencyMode: lowLatency };
}
