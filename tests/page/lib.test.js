// Texts, times, states, routes, errors, backoff and storage.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { summary } from '../../viewing/web/lib/announce.js';
import { frameSocket, problem } from '../../viewing/web/lib/api.js';
import { Backoff, inSeconds } from '../../viewing/web/lib/backoff.js';
import { GROUPS, groupOf, outageText, reasonText, stateName, urgency } from '../../viewing/web/lib/camera-states.js';
import { fileName } from '../../viewing/web/lib/download.js';
import { parseObject } from '../../viewing/web/lib/json.js';
import { merge } from '../../viewing/web/lib/live.js';
import { belowRoot, rootOf } from '../../viewing/web/lib/root.js';
import { cameraRoute, parseRoute } from '../../viewing/web/lib/routes.js';
import { CameraChoices, recall, store } from '../../viewing/web/lib/storage.js';
import { audioText, bitRateText, codecName, counted, fpsText, messageOf, sentence, sizeText } from '../../viewing/web/lib/text.js';
import { ago, clockTime, duration, fileStamp } from '../../viewing/web/lib/time-format.js';

const [SECOND, MINUTE, HOUR, DAY] = [1000, 60_000, 3_600_000, 86_400_000];

test('durations are written', () => {
  /** @type {[ms: number, text: string][]} */
  const table = [
    [-5, '0 s'], [0, '0 s'], [42 * SECOND, '42 s'], [119 * SECOND, '119 s'], [2 * MINUTE, '2 min'], [59.9 * MINUTE, '59 min'],
    [HOUR, '1 h'], [5 * HOUR + 12 * MINUTE, '5 h 12 min'], [47 * HOUR, '47 h'], [2 * DAY, '2 days'], [3.9 * DAY, '3 days'],
  ];
  for (const [ms, text] of table) assert.equal(duration(ms), text);
  assert.deepEqual([-1, 340, 9999, 10_000].map(ago), ['0.0 s ago', '0.3 s ago', '10.0 s ago', '10 s ago']);
});

test('the day is written with a time of another day', () => {
  const noon = new Date(2026, 2, 9, 12, 30).getTime();
  const [today, yesterday] = [clockTime(noon, noon + HOUR), clockTime(noon, noon + DAY)];
  assert.ok(yesterday.length > today.length && yesterday.includes('9') && !today.includes('9'), `${today}; ${yesterday}`);
});

test('file names are accepted by every file system', () => {
  assert.equal(fileName('Yard / "north" <1>'), 'Yard-north-1');
  assert.equal(fileName('../..'), 'camera');
  assert.equal(fileName('Hof Süd'), 'Hof-Süd');
  assert.equal(fileName('a'.repeat(100)).length, 60);
  assert.equal(fileStamp(new Date(2026, 2, 9, 7, 5, 1)), '2026-03-09-070501');
});

test('codecs, audio, sizes and rates are written', () => {
  const codecs = { h264: 'H.264', 'avc1.64': 'H.264', 'hvc1.1.6.L93': 'H.265', HEV1: 'H.265', mjpeg: 'JPEG', 'mp4a.40.2': 'AAC', pcmu: 'G.711 µ-law', av1: 'av1' };
  for (const [name, text] of Object.entries(codecs)) assert.equal(codecName(name), text);
  assert.equal(codecName(null), '');
  assert.equal(audioText({ codec: 'pcma', sample_rate: 8000, channels: 2 }), 'G.711 A-law, 8 kHz, stereo');
  assert.equal(audioText({ codec: 'aac', sample_rate: 44_100, channels: 6 }), 'AAC, 44.1 kHz, 6 channels');
  assert.equal(audioText({ codec: 'aac' }), 'AAC');
  assert.equal(audioText(null), '');
  assert.deepEqual([sizeText({ width: 4, height: 3 }), sizeText({ width: 4 }), sizeText(null)], ['4 × 3', '', '']);
  assert.deepEqual([fpsText({ fps: 29.97 }), fpsText({ fps: 0 }), fpsText({})], ['30 fps', '0 fps', '']);
  assert.deepEqual([1, 999_499, 1_000_000, 0, null].map(bitRateText), ['0 kbit/s', '999 kbit/s', '1.0 Mbit/s', '', '']);
});

test('messages end as sentences', () => {
  assert.deepEqual(['no answer', ' Done. ', 'Why?', '', null, undefined].map(sentence), ['no answer.', 'Done.', 'Why?', '', '', '']);
  assert.deepEqual([0, 1, 2].map((count) => counted(count, 'restart')), ['0 restarts', '1 restart', '2 restarts']);
  assert.deepEqual([messageOf(new Error('a')), messageOf('b')], ['a', 'b']);
});

test('many changes are announced as a number', () => {
  assert.equal(summary([['Yard', 'live.'], ['Gate', 'failed.']]), 'Yard: live. Gate: failed.');
  assert.equal(summary([['a', '.'], ['b', '.'], ['c', '.'], ['d', '.']]), '4 cameras changed their state.');
});

test('every state has a group, a name and a rank', () => {
  const states = GROUPS.flatMap(([, , inGroup]) => inGroup ?? []);
  assert.equal(new Set(states).size, 7);
  for (const state of states) assert.notEqual(stateName(state), state);
  assert.equal(new Set(states.map(urgency)).size, 7);
  assert.deepEqual([groupOf('failed'), groupOf('new state'), stateName('new state')], ['away', 'idle', 'new state']);
  assert.ok(urgency('failed') < urgency('running') && urgency('new state') > urgency('stopped'));
});

test('an outage is written only for a camera that shows nothing new', () => {
  const now = Date.parse('2026-03-09T12:00:00Z');
  assert.equal(outageText({ state: 'running', since: '2026-03-09T11:00:00Z' }, now), null);
  assert.equal(outageText({ state: 'starting' }, now), null);
  const outage = outageText({ state: 'reconnecting', since: '2026-03-09T11:57:00Z' }, now);
  assert.deepEqual([outage?.what, outage?.lasting], ['Camera unreachable', 'for 3 min']);
  assert.match(outage?.since ?? '', /^since .*57/);
  assert.deepEqual(outageText({ state: 'stopped' }, now), { what: 'Stopped', lasting: '', since: '' });
  assert.deepEqual([reasonText('a'), reasonText({ text: 'b' }), reasonText({}), reasonText(null)], ['a', 'b', '', '']);
});

test('routes name a screen', () => {
  const table = { '': '', '#/': '', '#/camera/': '', '#/camera/a%2Fb': 'a/b', '#/camera/100%': '100%', '#/camera/x/y': 'x', '#/other/x': '' };
  for (const [hash, slug] of Object.entries(table)) assert.deepEqual(parseRoute(hash), { kiosk: false, slug });
  assert.deepEqual(parseRoute('#/kiosk'), { kiosk: true, slug: '' });
  assert.equal(parseRoute(cameraRoute('ä /?#%')).slug, 'ä /?#%');
});

test('errors of the server and of a proxy become sentences', () => {
  /** @param {[status: number, statusText: string, data: unknown, retryAfter?: string]} answer */
  const message = ([status, statusText, data, retryAfter]) => {
    const headers = new Headers(retryAfter ? { 'Retry-After': retryAfter } : {});
    return problem({ status, statusText, headers }, data).message;
  };
  assert.equal(message([422, '', { error: 'URL is not valid', detail: 'x' }]), 'URL is not valid');
  assert.equal(message([502, 'Bad Gateway', { title: 'Upstream failed' }]), 'Upstream failed');
  assert.equal(message([502, 'Bad Gateway', null]), 'The server answered 502 Bad Gateway.');
  assert.equal(message([502, '', null]), 'The server answered 502.');
  assert.equal(message([429, '', { error: 'too many tests' }, '3']), 'too many tests. Try again in 3 s.');
  assert.equal(message([429, '', { error: 'Try again later' }, '3']), 'Try again later');
  const { status, field } = problem({ status: 422, statusText: '', headers: new Headers() }, { error: 'a', field: '/hls/part_ms' });
  assert.deepEqual([status, field], [422, 'hls.part_ms']);
});

test('the address of frames has a query', () => {
  Object.assign(globalThis, { location: { origin: 'http://127.0.0.1:8080' } });
  assert.equal(frameSocket('a b'), 'ws://127.0.0.1:8080/ws/stream/a%20b/');
  assert.equal(frameSocket('a', { events: 1, width: 320 }), 'ws://127.0.0.1:8080/ws/stream/a/?events=1&width=320');
});

test('the page works below a path of its host', () => {
  assert.equal(rootOf('https://h/assets/lib/root.js'), '');
  assert.equal(rootOf('https://h/cams/assets/lib/root.js'), '/cams');
  assert.equal(rootOf('https://h/a/assets/b/assets/lib/root.js'), '/a/assets/b');
  assert.equal(belowRoot('/video/play/1/', ''), '/video/play/1/');
  assert.equal(belowRoot('/video/play/1/', '/cams'), '/cams/video/play/1/');
  assert.equal(belowRoot('/cams/video/play/1/', '/cams'), '/cams/video/play/1/');
  assert.equal(belowRoot('/cams2/video/', '/cams'), '/cams/cams2/video/');
});

test('only objects are messages', () => {
  assert.deepEqual(parseObject('{"a":1}'), { a: 1 });
  assert.deepEqual(parseObject(''), {});
  for (const text of ['{', 'null', '1', '"a"']) assert.equal(parseObject(text), null, text);
});

test('events that came during a request are newer than the list', () => {
  /** @param {string} slug @param {string} state */
  const camera = (slug, state) => ({ slug, state });
  const merged = merge(
    [camera('a', 'idle'), camera('b', 'idle'), camera('c', 'idle')],
    new Map([['b', camera('b', 'running')], ['c', null], ['d', camera('d', 'running')]]),
  );
  assert.deepEqual([...merged.values()].map(({ slug, state }) => `${slug} ${state}`), ['a idle', 'b running', 'd running']);
});

test('waits grow up to a bound, with jitter, and start again after a success', () => {
  const backoff = new Backoff();
  for (const ceiling of [2000, 4000, 8000, 15_000, 15_000, 15_000]) {
    const wait = backoff.next();
    assert.ok(wait >= 1000 && wait <= ceiling, `${wait} is above ${ceiling}`);
  }
  backoff.reset();
  assert.ok(backoff.next() <= 2000);
  assert.deepEqual([0, 1499, 1500].map(inSeconds), ['1\u00a0s', '1\u00a0s', '2\u00a0s']);
});

/** @type {Map<string, string>} */
const stored = new Map();
beforeEach(() => {
  stored.clear();
  Object.assign(globalThis, {
    localStorage: {
      /** @param {string} key */
      getItem: (key) => stored.get(key) ?? null,
      /** @param {string} key @param {string} value */
      setItem: (key, value) => stored.set(key, value),
    },
  });
});

test('choices are remembered, invalid ones are not', () => {
  store('key', { a: 'jpeg', b: 'no mode', c: 7 });
  /** @param {string} value */
  const valid = (value) => value === 'jpeg' || value === 'hls';
  const choices = new CameraChoices('key', valid);
  assert.deepEqual(['a', 'b', 'c', 'd'].map((slug) => choices.get(slug)), ['jpeg', undefined, undefined, undefined]);
  choices.set('d', 'hls');
  assert.deepEqual(recall('key'), { a: 'jpeg', d: 'hls' });
  choices.keepOnly(new Set(['d']));
  assert.deepEqual(recall('key'), { d: 'hls' });
});

test('the oldest choices are forgotten', () => {
  const choices = new CameraChoices('key', () => true);
  for (let at = 0; at <= 1000; at += 1) choices.set(`camera-${at}`, 'hls');
  choices.set('camera-1', 'jpeg');
  choices.set('new', 'hls');
  assert.deepEqual(['camera-0', 'camera-1', 'camera-2', 'camera-3'].map((slug) => choices.get(slug)), [undefined, 'jpeg', undefined, 'hls']);
  assert.equal(Object.keys(recall('key')).length, 1000);
});

test('storage that is broken or switched off is like an empty one', () => {
  stored.set('key', '{');
  assert.deepEqual(recall('key'), {});
  stored.set('key', '7');
  assert.deepEqual(recall('key'), {});
  Object.assign(globalThis, { localStorage: undefined });
  assert.deepEqual(recall('key'), {});
  assert.doesNotThrow(() => store('key', {}));
});
