// Knows which players of this page may play with low latency. Such a player has a request for its next playlist under
// way all the time, one for the pictures and one for the sound, and over HTTP/1.1 a browser opens six connections to
// one server: a wall of such players would leave none for segments. The others play whole segments.

const OVER_HTTP_1 = 2; // players
let free = null;

/** Whether one more may; it must give its place back with `leave()`. */
export function enter() {
  free ??= manyAtOnce() ? Infinity : OVER_HTTP_1;
  if (free < 1) return false;
  free -= 1;
  return true;
}

export function leave() {
  free += 1;
}

// HTTP/2 and later carry any number of requests over one connection.
const manyAtOnce = () => /^h[23]/.test(performance.getEntriesByType('navigation')[0]?.nextHopProtocol ?? '');

/** Takes out of a media playlist all that asks a player to wait for parts; whole segments stay. */
export const withoutParts = (playlist) => playlist
  .replace(/^#EXT-X-(PART|PART-INF|PRELOAD-HINT|RENDITION-REPORT):.*\r?\n?/gm, '')
  .replace(/^(#EXT-X-SERVER-CONTROL:.*)CAN-BLOCK-RELOAD=YES/m, '$1CAN-BLOCK-RELOAD=NO');

/** hls.js' own loader, of playlists without parts. */
export const plainLoader = (Hls) => class extends Hls.DefaultConfig.loader {
  load(context, config, callbacks) {
    const onSuccess = (response, ...rest) => {
      if (typeof response.data === 'string') response.data = withoutParts(response.data);
      callbacks.onSuccess(response, ...rest);
    };
    super.load(context, config, { ...callbacks, onSuccess });
  }
};
