// This module holds the markup of the form for a camera link. form.js adds its behaviour, probe.js that of its test.

import { markup } from '../lib/dom.js';

/** Returns a new copy of all fields and buttons. */
export const cameraFields = markup(`
  <div class="fields">
    <label class="field field-url"><span>RTSP URL</span>
      <input name="url" data-testid="url-input" type="text" inputmode="url" placeholder="rtsp://192.168.1.20:554/stream1" autocapitalize="off" autocorrect="off" spellcheck="false" autocomplete="off" aria-required="true"></label>
    <label class="field field-name"><span>Name <small>optional</small></span>
      <input name="name" data-testid="name-input" type="text" placeholder="Front door" autocomplete="off"></label>
    <label class="field"><span>User name <small>optional</small></span>
      <input name="username" data-testid="username-input" type="text" autocapitalize="off" autocorrect="off" spellcheck="false" autocomplete="off"></label>
    <label class="field"><span>Password <small>optional</small></span>
      <input name="password" data-testid="password-input" type="password" autocomplete="new-password"></label>
  </div>
  <p class="problem" data-testid="error" role="alert" hidden></p>
  <p class="moved" data-testid="moved" role="status"></p>
  <section class="probe" data-testid="try-result" aria-label="Test of this address" hidden>
    <div class="probe-frame"><img data-testid="try-picture" alt="" hidden><span class="probe-wait" aria-hidden="true" hidden></span></div>
    <div class="probe-result">
      <p class="probe-title"></p>
      <p class="probe-text"></p>
      <dl class="probe-facts"></dl>
    </div>
  </section>
  <p class="unseen probe-status" role="status"></p>
  <div class="actions">
    <label class="check"><input name="always_on" data-testid="always-on-input" type="checkbox"> <span>Keep running without viewers</span></label>
    <details class="more">
      <summary>More</summary>
      <label class="field field-inline"><span>Transport</span>
        <select name="transport" data-testid="transport-input">
          <option value="auto">auto (TCP, else UDP)</option>
          <option value="tcp">TCP</option>
          <option value="udp">UDP</option>
        </select></label>
      <label class="field field-inline"><span>Zone</span>
        <input name="zone" data-testid="zone-input" type="text" placeholder="default" autocapitalize="off" autocorrect="off" spellcheck="false" autocomplete="off"></label>
      <label class="check"><input name="exclusive" data-testid="exclusive-input" type="checkbox"> <span>The camera accepts one session only</span></label>
      <label class="check" data-for="rtsps" hidden><input name="tls_insecure" data-testid="tls-insecure-input" type="checkbox"> <span>Accept any certificate <small>for cameras with a self-signed one</small></span></label>
      <fieldset class="hls-fields">
        <legend>HLS</legend>
        <label class="field field-inline"><span>Produced</span>
          <select name="hls.always_on" data-testid="hls-always-on-input">
            <option value="">server default</option>
            <option value="false">while it has viewers</option>
            <option value="true">always</option>
          </select></label>
        <label class="field field-inline"><span>Segment <small>seconds</small></span>
          <input name="hls.segment_seconds" type="text" inputmode="numeric" placeholder="default" autocomplete="off"></label>
        <label class="field field-inline"><span>Segments listed</span>
          <input name="hls.window_segments" type="text" inputmode="numeric" placeholder="default" autocomplete="off"></label>
        <label class="field field-inline"><span>Part <small>ms, 0 for none</small></span>
          <input name="hls.part_ms" data-testid="part-ms-input" type="text" inputmode="numeric" placeholder="default" autocomplete="off"></label>
        <label class="field field-inline"><span>Lower renditions</span>
          <input name="hls.renditions" data-testid="renditions-input" type="text" placeholder="default, none, or 720p, 360p" autocapitalize="off" spellcheck="false" autocomplete="off"></label>
      </fieldset>
    </details>
    <button type="button" name="try" data-testid="try" title="Test this address now, without saving it">Test</button>
    <button type="button" name="cancel" hidden>Cancel</button>
    <button class="primary" type="submit" data-testid="add-submit">Add camera</button>
  </div>
`);
