// This module holds the markup of a camera's own page. page.js adds its behaviour.

import { find, markup } from '../lib/dom.js';

const FULL = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10"/></svg>';
const SPEAKER = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M2.5 6v4H5l3.5 3V3L5 6z"/><path class="waves" d="M11 5.5a3.5 3.5 0 0 1 0 5M12.8 3.5a6.2 6.2 0 0 1 0 9"/></svg>';

const copy = markup(`
<article class="cp" data-testid="camera-page">
  <header class="cp-head">
    <a class="cp-back" data-testid="camera-back" href="#/"><span aria-hidden="true">‹</span> All cameras</a>
    <h2 class="cp-name" tabindex="-1"></h2>
    <span class="cp-badge" data-testid="camera-state"></span>
    <div class="cp-acts">
      <button type="button" data-testid="snapshot-download">Snapshot</button>
      <button type="button" class="operator" data-testid="camera-start-stop"></button>
      <button type="button" class="operator" data-testid="camera-edit">Edit</button>
      <button type="button" class="danger operator" data-testid="camera-remove">Remove</button>
    </div>
  </header>
  <p class="cp-reason" data-testid="camera-reason" hidden></p>
  <p class="problem" data-testid="camera-error" role="alert" hidden></p>
  <p class="unseen" data-part="status" role="status"></p>

  <div class="cp-main">
    <div class="cp-column">
      <section class="cp-pictures" aria-label="Pictures">
        <div class="cp-stage" data-mode="both">
          <figure class="cp-pane" data-pane="jpeg">
            <canvas data-testid="camera-jpeg" role="img" width="16" height="9"></canvas>
            <p class="cp-veil"></p>
            <figcaption><b>JPEG</b> <span class="cp-stat"></span></figcaption>
            <span class="cp-tools"><button type="button" data-act="full" aria-label="JPEG in full screen" title="Full screen">${FULL}</button></span>
          </figure>
          <figure class="cp-pane" data-pane="hls">
            <video data-testid="camera-hls" muted autoplay playsinline disablepictureinpicture></video>
            <p class="cp-veil"></p>
            <figcaption><b>HLS</b> <span class="cp-stat"></span></figcaption>
            <span class="cp-tools">
              <select data-act="quality" aria-label="Quality of the HLS video" title="Quality" hidden></select>
              <button type="button" data-act="sound" aria-label="Audio" aria-pressed="false" title="Unmute" hidden>${SPEAKER}</button>
              <button type="button" data-act="full" aria-label="HLS in full screen" title="Full screen">${FULL}</button>
            </span>
          </figure>
        </div>
        <fieldset class="cp-modes">
          <legend class="unseen">How to watch</legend>
          <label><input type="radio" name="cp-mode" value="both" data-testid="camera-mode-both"><span>Both</span></label>
          <label><input type="radio" name="cp-mode" value="jpeg" data-testid="camera-mode-jpeg"><span>JPEG</span></label>
          <label><input type="radio" name="cp-mode" value="hls" data-testid="camera-mode-hls"><span>HLS</span></label>
        </fieldset>
      </section>

      <section class="cp-card cp-share" aria-labelledby="cp-share-title">
        <h3 id="cp-share-title">Use it elsewhere</h3>
        <p class="cp-hint">Addresses for other programs, and HTML for other pages. There is no RTSP output.</p>
        <div class="cp-share-columns"><div data-part="addresses"></div><div data-part="snippets"></div></div>
      </section>
    </div>

    <div class="cp-column">
      <section class="cp-card cp-health" aria-labelledby="cp-health-title">
        <h3 id="cp-health-title">Age of the newest picture</h3>
        <p class="cp-now" aria-hidden="true"><b data-part="now"></b> <span data-part="highest"></span></p>
        <div data-part="spark"></div>
        <p class="cp-axis" aria-hidden="true"><span data-part="from"></span><span data-part="restarts"></span><span>now</span></p>
      </section>

      <section class="cp-card" aria-labelledby="cp-facts-title">
        <h3 id="cp-facts-title">Stream</h3>
        <dl class="cp-facts" data-testid="facts"></dl>
      </section>
    </div>
  </div>
</article>
<p class="cp-gone" data-testid="camera-gone"><span></span> <a href="#/">All cameras</a></p>
`);

/** Returns a new page, and the note that replaces it when the camera does not exist. */
export function cameraPageParts() {
  const parts = copy();
  return { page: find(parts, '.cp', HTMLElement), gone: find(parts, '.cp-gone', HTMLElement) };
}
