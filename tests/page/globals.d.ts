// Declarations that the page and its tests share. This file is for tsc only and is not served.

import type Hls from 'hls.js';

declare global {
  type Timer = ReturnType<typeof setTimeout>;

  interface Window {
    /** Set by hls.min.js. */
    Hls: typeof Hls;
  }

  interface HTMLVideoElement {
    /** Full screen of Safari on iPhone. */
    webkitEnterFullscreen?(): void;
    /** Audio tracks of Safari's own HLS. */
    audioTracks?: ArrayLike<unknown>;
  }
}
