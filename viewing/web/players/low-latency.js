// This module decides which players of this page use low latency. Such a player always has a request for its next
// playlist under way, one for video and one for audio, and over HTTP/1.1 a browser opens six connections to one server: a
// wall of such players would leave none for segments. The others play whole segments.

/** @import Hls from 'hls.js' */
/** @import { LoaderCallbacks, LoaderConfiguration, LoaderContext } from 'hls.js' */

const OVER_HTTP_1 = 2; // players
/** @type {number | undefined} */
let free;

/** Takes a place among the players with low latency, if one is free; `release()` returns it. */
export function acquire() {
  free ??= isMultiplexed() ? Infinity : OVER_HTTP_1;
  if (free < 1) return false;
  free -= 1;
  return true;
}

export function release() {
  if (free !== undefined) free += 1;
}

// HTTP/2 and later carry any number of requests over one connection.
function isMultiplexed() {
  const [navigation] = performance.getEntriesByType('navigation');
  return navigation instanceof PerformanceNavigationTiming && /^h[23]/.test(navigation.nextHopProtocol);
}

/**
 * Removes from a media playlist everything that makes a player wait for parts; whole segments stay.
 * @param {string} playlist
 */
export const withoutParts = (playlist) => playlist
  .replace(/^#EXT-X-(PART|PART-INF|PRELOAD-HINT|RENDITION-REPORT):.*\r?\n?/gm, '')
  .replace(/^(#EXT-X-SERVER-CONTROL:.*)CAN-BLOCK-RELOAD=YES/m, '$1CAN-BLOCK-RELOAD=NO');

/**
 * Returns the playlist loader of hls.js, changed to remove parts.
 * @param {typeof Hls} library
 * @returns {any}
 */
export const loaderWithoutParts = (library) => class extends library.DefaultConfig.loader {
  /**
   * @param {LoaderContext} context
   * @param {LoaderConfiguration} config
   * @param {LoaderCallbacks<LoaderContext>} callbacks
   */
  load(context, config, callbacks) {
    super.load(context, config, {
      ...callbacks,
      onSuccess(response, ...rest) {
        if (typeof response.data === 'string') response.data = withoutParts(response.data);
        callbacks.onSuccess(response, ...rest);
      },
    });
  }
};
