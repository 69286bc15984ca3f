// The form, the facts, the addresses and the figures of a camera.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { addressAlone, withoutLogin } from '../../viewing/web/camera/address.js';
import { factsOf } from '../../viewing/web/camera/facts.js';
import { changesOf, hlsFieldText, hlsValue } from '../../viewing/web/camera/form-values.js';
import { failureOf, videoText, waitText } from '../../viewing/web/camera/probe-text.js';
import { addressesOf, snippetsOf } from '../../viewing/web/camera/sharing.js';
import { paths, unrolled } from '../../viewing/web/camera/sparkline.js';

const ORIGIN = 'https://cameras.example.org';
beforeEach(() => Object.assign(globalThis, { location: { origin: ORIGIN } }));

test('a login is taken out of an address', () => {
  /** @type {[address: string, url: string, username: string, password: string][]} */
  const table = [
    ['rtsp://admin:secret@10.0.0.1/a', 'rtsp://10.0.0.1/a', 'admin', 'secret'],
    ['  RTSPS://admin@host:322/a?b=c@d  ', 'RTSPS://host:322/a?b=c@d', 'admin', ''],
    ['rtsp://a:p@ss@host/', 'rtsp://host/', 'a', 'p@ss'],
    ['rtsp://a:b:c@host', 'rtsp://host', 'a', 'b:c'],
    ['rtsp://us%20er:%C3%A9@host/', 'rtsp://host/', 'us er', 'é'],
    ['rtsp://u:100%@host/', 'rtsp://host/', 'u', '100%'],
    ['rtsp://:p@host/', 'rtsp://host/', '', 'p'],
  ];
  for (const [address, url, username, password] of table) assert.deepEqual(withoutLogin(address), { url, username, password });
  for (const address of ['', 'rtsp://host/a@b', 'http://u:p@host/', 'rtsp://u:***@host/', 'rtsp://@host/', 'rtsp://:@host/']) {
    assert.equal(withoutLogin(address), null, address);
  }
});

test('the masked login of an address is not shown', () => {
  assert.equal(addressAlone('rtsp://operator:***@10.0.0.1/Live'), 'rtsp://10.0.0.1/Live');
  assert.equal(addressAlone('rtsp://10.0.0.1/Live'), 'rtsp://10.0.0.1/Live');
});

test('only changed fields are sent', () => {
  const shown = { url: '', name: '', zone: '', always_on: false, 'hls.part_ms': '', 'hls.renditions': 'none', 'hls.always_on': '' };
  assert.deepEqual(changesOf(shown, shown), {});
  assert.deepEqual(
    changesOf(shown, { ...shown, url: 'rtsp://h/', always_on: true, 'hls.part_ms': '200', 'hls.renditions': '720p, 360p' }),
    { url: 'rtsp://h/', always_on: true, hls: { part_ms: 200, renditions: ['720p', '360p'] } },
  );
  assert.deepEqual(changesOf({ name: 'a' }, { name: '' }), { name: '' }, 'an emptied field is a change');
});

test('settings of HLS become text and back', () => {
  /** @type {[name: string, text: string, value: unknown][]} */
  const table = [
    ['part_ms', '', null], ['part_ms', '0', 0], ['part_ms', '200', 200],
    ['renditions', '', null], ['renditions', 'none', []], ['renditions', '720p, 360p', ['720p', '360p']],
    ['always_on', '', null], ['always_on', 'true', true], ['always_on', 'false', false],
  ];
  for (const [name, text, value] of table) {
    assert.deepEqual(hlsValue(name, text), value, `${name} ${text}`);
    assert.equal(hlsFieldText(/** @type {any} */ (value)), text, `${name} ${text}`);
  }
  assert.equal(hlsValue('segment_seconds', 'two'), 'two', 'the server refuses it');
  assert.deepEqual(hlsValue('renditions', ' 720p,, 360p '), ['720p', '360p']);
});

test('facts are written, unknown ones are left out', () => {
  const now = Date.parse('2026-03-09T12:00:00Z');
  const camera = { url: 'rtsp://h/', zone: '', always_on: false, since: '2026-03-09T11:00:00Z' };
  const facts = Object.fromEntries(factsOf(camera, {
    video: { codec: 'h264', width: 1920, height: 1080, fps: 24.98, bitrate: 2_500_000 },
    audio: { codec: 'aac', sample_rate: 16000, channels: 1 },
    viewers: { mjpeg: 2 },
    restarts: 0,
  }, { now, shown: '' }));
  assert.match(facts['State since'], /, for 1 h$/);
  delete facts['State since'];
  assert.deepEqual(facts, {
    Camera: 'rtsp://h/', Codec: 'H.264', Size: '1920 × 1080', 'Frame rate': '25 fps', 'Bit rate': '2.5 Mbit/s',
    Audio: 'AAC, 16 kHz, mono', Viewers: '2 JPEG, 0 HLS', Zone: 'default', Restarts: '0', 'Always on': 'no',
  });
  assert.deepEqual(factsOf({}, {}, { now, shown: '' }), [['Zone', 'default']]);
});

test('a failed probe is named, with the field that it is about', () => {
  assert.deepEqual(failureOf({ reason: { code: 'auth_failed', text: 'the camera refused the login' } }), {
    title: 'Login refused', message: 'the camera refused the login.', field: 'username',
  });
  assert.deepEqual(failureOf({ reason: { code: 'busy', text: 'It is busy.' } }), {
    title: 'The camera is busy', message: 'It is busy.', field: undefined,
  });
  assert.deepEqual(failureOf({ state: 'failed' }), {
    title: 'No picture', message: 'The camera sent no picture (failed).', field: undefined,
  });
});

test('facts of a probe are written', () => {
  assert.equal(videoText({ codec: 'hvc1', width: 640, height: 480, fps: 12.5 }), 'H.265, 640 × 480, 12.5 fps');
  assert.equal(videoText(null), '');
  assert.deepEqual([undefined, -1, 0, 49, 50, 1234].map(waitText), ['', '', 'less than 0.1 s', 'less than 0.1 s', '0.1 s', '1.2 s']);
});

test('addresses of a camera', () => {
  assert.deepEqual(addressesOf({ slug: 'yard-1', id: 7 }, ORIGIN), [
    ['This page', `${ORIGIN}/#/camera/yard-1`],
    ['Snapshot (JPEG)', `${ORIGIN}/video/yard-1/snapshot.jpg`],
    ['MJPEG', `${ORIGIN}/video/yard-1/mjpeg`],
    ['HLS playlist', `${ORIGIN}/video/play/7/`],
    ['JPEG over WebSocket', 'wss://cameras.example.org/ws/stream/yard-1/'],
  ]);
  assert.ok(!addressesOf({ slug: 'yard-1' }, ORIGIN).some(([label]) => label === 'HLS playlist'));
});

test('a name is escaped in HTML for other pages', () => {
  const [[, html]] = snippetsOf({ slug: 'a', id: 1, name: '"><script>&' }, ORIGIN);
  assert.equal(html, `<img src="${ORIGIN}/video/a/mjpeg?width=640" alt="&#34;&#62;&#60;script&#62;&#38;" width="640">`);
});

test('a line has gaps where nothing is known', () => {
  assert.deepEqual(paths([NaN, NaN], 10), { line: '', area: '' });
  assert.deepEqual(paths([0, 10, NaN, 5], 10), {
    line: 'M0 100.0h0L1 0.0M3 50.0h0',
    area: 'M0 100L0 100.0L1 0.0L1 100ZM3 100L3 50.0L3 100Z',
  });
  assert.deepEqual(unrolled([3, 4, 1, 2], 2), [1, 2, 3, 4]);
});
