// Decisions of the players: size and rate of frames, qualities, playlists without parts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rateFor, widthFor } from '../../viewing/web/players/frame-size.js';
import { withoutParts } from '../../viewing/web/players/low-latency.js';
import { isMode } from '../../viewing/web/players/players.js';
import { isH264, isQuality, label, nameOf, pick } from '../../viewing/web/players/qualities.js';

test('the requested width follows the pixels to fill', () => {
  const table = [
    [0, 0, 160], [0, 640, 640], [NaN, 0, 160],
    [100, 0, 160], [184, 0, 160], [185, 0, 320], [600, 0, 640], [5000, 0, 1920],
    [700, 320, 640], // grows at once
    [400, 640, 640], // stays while the smaller step is more than half
    [300, 640, 320], // shrinks when half is enough
    [1500, 1920, 1920],
  ];
  for (const [pixels, current, width] of table) assert.equal(widthFor(pixels, current), width, `${pixels} from ${current}`);
});

test('a width that was requested for some pixels stays for the same pixels', () => {
  for (let pixels = 1; pixels < 3000; pixels += 7) {
    const width = widthFor(pixels);
    assert.equal(widthFor(pixels, width), width, `${pixels}`);
  }
});

test('frames come at a lower rate on a full wall', () => {
  assert.deepEqual([1, 9, 10, 64].map(rateFor), [0, 0, 5, 5]);
});

test('a rendition is named by its playlist', () => {
  assert.equal(nameOf({ uri: '/video/play/7/720p.m3u8?x=1' }), '720p');
  assert.equal(nameOf({ url: ['source.m3u8'] }), 'source');
  assert.equal(nameOf({ url: [] }), '');
  assert.equal(nameOf({ url: ['/video/play/7/source.m3u8'] }), 'source');
  assert.equal(nameOf({ url: '/video/play/7/source.m3u8#a' }), 'source');
  assert.equal(nameOf(undefined), '');
  assert.deepEqual(['auto', 'source', 'h264', '360p'].map(label), ['Auto', 'Source', 'H.264', '360p']);
});

test('the chosen quality selects a level', () => {
  const levels = [
    { uri: '/360p.m3u8', height: 360 }, { uri: '/source.m3u8', height: 1080 }, { uri: '/720p.m3u8', height: 720 },
  ];
  assert.equal(pick(levels, 'auto'), -1);
  assert.equal(pick(levels, '720p'), 2);
  assert.equal(pick(levels, '480p'), 1, 'the source is played instead');
  assert.equal(pick([levels[0], { uri: '/h264.m3u8', height: 1080 }], 'source'), 1, 'H.264 is played instead');
  assert.equal(pick([levels[0], levels[2]], 'source'), 1, 'the highest is played instead');
  assert.equal(pick([{}], 'source'), 0);
});

test('codecs and qualities are recognized', () => {
  assert.ok(isH264({ videoCodec: 'avc1.64001f' }) && !isH264({ videoCodec: 'hvc1.1.6.L93.B0' }) && !isH264(undefined));
  for (const quality of ['auto', 'source', 'h264', '720p', '1080p']) assert.ok(isQuality(quality), quality);
  for (const quality of ['', '72p', '12345p', 'source ', 'mp4']) assert.ok(!isQuality(quality), quality);
  assert.ok(isMode('both') && !isMode('video') && !isMode(undefined));
});

test('parts are removed from a playlist, segments stay', () => {
  const playlist = [
    '#EXTM3U', '#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5', '#EXT-X-PART-INF:PART-TARGET=0.5',
    '#EXTINF:2,', '1.m4s', '#EXT-X-PART:DURATION=0.5,URI="2.0.m4s"', '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="2.1.m4s"',
    '#EXT-X-RENDITION-REPORT:URI="audio.m3u8",LAST-MSN=1', '',
  ];
  const expected = ['#EXTM3U', '#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=NO,PART-HOLD-BACK=1.5', '#EXTINF:2,', '1.m4s', ''];
  assert.equal(withoutParts(playlist.join('\n')), expected.join('\n'));
  assert.equal(withoutParts(playlist.join('\r\n')), expected.join('\r\n'));
});
