// Layout, order and preferences of the wall.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cut, fit } from '../../viewing/web/wall/layout.js';
import { arrange, countGroups, merged, moved } from '../../viewing/web/wall/order.js';
import { validWall } from '../../viewing/web/wall/preferences.js';

/** @import { Camera } from '../../viewing/web/lib/api-types.js' */
/** @import { Layout } from '../../viewing/web/wall/layout.js' */

const DESKTOP = { width: 1600, height: 900, gap: 8 };
const PHONE = { width: 390, height: 700, gap: 8 };

test('tiles fit into the room', () => {
  /** @type {[room: typeof DESKTOP, layout: Layout, count: number, kiosk: boolean, expected: object][]} */
  const table = [
    [DESKTOP, 'auto', 0, false, { tiles: 1, columns: 1, tileWidth: 1432, density: 'roomy' }],
    [DESKTOP, 'auto', 1, true, { tiles: 1, columns: 1, tileWidth: 1600, density: 'compact' }],
    [DESKTOP, 'auto', 4, false, { tiles: 4, columns: 2, tileWidth: 625, density: 'roomy' }],
    [DESKTOP, 'auto', 9, false, { tiles: 9, columns: 3, tileWidth: 523, density: 'compact' }],
    [DESKTOP, 'auto', 1000, false, { tiles: 36, columns: 6, tileWidth: 254, density: 'compact' }],
    [DESKTOP, 64, 64, false, { tiles: 64, columns: 8, tileWidth: 187, density: 'tiny' }],
    [{ width: 700, height: 100, gap: 8 }, 64, 64, false, { tiles: 64, columns: 16, tileWidth: 90, density: 'tiny' }],
    [PHONE, 'auto', 30, false, { tiles: 12, columns: 1, tileWidth: 390, density: 'phone' }],
    [PHONE, 4, 30, false, { tiles: 4, columns: 1, tileWidth: 390, density: 'phone' }],
  ];
  for (const [room, layout, count, kiosk, expected] of table) {
    const fitted = fit({ ...room, layout, count, kiosk });
    assert.deepEqual(fitted, expected, `${count} cameras as ${layout} in ${room.width} x ${room.height}`);
  }
});

test('no tile is wider than the room, and every tile of an automatic layout is readable', () => {
  for (let count = 1; count <= 80; count += 1) {
    const { columns, tileWidth, tiles } = fit({ ...DESKTOP, layout: 'auto', count, kiosk: true });
    assert.ok(columns * tileWidth + (columns - 1) * DESKTOP.gap <= DESKTOP.width, `${count}`);
    assert.ok(tileWidth >= 240 && tiles <= 64, `${count}`);
  }
});

test('a page is cut out of the cameras', () => {
  const table = [
    { of: [0, 9, 0], page: { page: 0, pages: 1, from: 0, to: 0 } },
    { of: [9, 9, 0], page: { page: 0, pages: 1, from: 0, to: 9 } },
    { of: [10, 9, 1], page: { page: 1, pages: 2, from: 9, to: 10 } },
    { of: [10, 9, 7], page: { page: 1, pages: 2, from: 9, to: 10 } },
    { of: [10, 9, -1], page: { page: 0, pages: 2, from: 0, to: 9 } },
  ];
  for (const { of: [count, tiles, page], page: expected } of table) {
    assert.deepEqual(cut(count, tiles, page), expected, `page ${page} of ${count}`);
  }
});

/** @type {Camera[]} */
const CAMERAS = [
  { id: 1, slug: 'gate-10', name: 'Gate 10', url: 'rtsp://10.0.0.10/a', state: 'running', zone: 'north' },
  { id: 2, slug: 'gate-9', name: 'Gate 9', url: 'rtsp://10.0.0.9/a', state: 'failed', zone: 'north' },
  { id: 3, slug: 'yard', name: 'Yard', url: 'rtsp://10.0.0.11/b', state: 'reconnecting', zone: 'east' },
  { id: 4, slug: 'unnamed-1', name: '', url: 'rtsp://10.0.0.12/b', state: 'idle', zone: 'default' },
];
/** @param {Parameters<typeof arrange>[1]} options */
const arranged = (options) => arrange(CAMERAS, options).map(({ id }) => id);

test('cameras are sorted', () => {
  assert.deepEqual(arranged({}), [1, 2, 3, 4]);
  assert.deepEqual(arranged({ sort: 'name' }), [2, 1, 4, 3]);
  assert.deepEqual(arranged({ sort: 'state' }), [2, 3, 1, 4]);
  assert.deepEqual(arranged({ sort: 'zone' }), [4, 3, 2, 1]);
  assert.deepEqual(arranged({ sort: 'newest' }), [4, 3, 2, 1]);
  assert.deepEqual(arranged({ sort: 'own', order: ['yard', 'gone', 'gate-10'] }), [3, 1, 2, 4]);
});

test('cameras are searched for and filtered', () => {
  assert.deepEqual(arranged({ query: 'GATE north' }), [1, 2]);
  assert.deepEqual(arranged({ query: '10' }), [1], 'a short word counts in the name only');
  assert.deepEqual(arranged({ query: '0.0.11' }), [3], 'a longer word counts in the address');
  assert.deepEqual(arranged({ query: 'unnamed' }), [4]);
  assert.deepEqual(arranged({ query: 'no such camera' }), []);
  assert.deepEqual(arranged({ group: 'away' }), [2, 3]);
  assert.deepEqual(arranged({ group: 'away', query: 'yard' }), [3]);
});

test('cameras are counted by group', () => {
  const { all, live, away, idle, stopped } = countGroups([...CAMERAS, { state: 'unknown' }]);
  assert.deepEqual({ all, live, away, idle, stopped }, { all: 5, live: 1, away: 2, idle: 2, stopped: 0 });
});

test('a camera is moved', () => {
  const slugs = ['a', 'b', 'c', 'd'];
  assert.deepEqual(moved(slugs, 'a', 'c'), ['b', 'c', 'a', 'd']);
  assert.deepEqual(moved(slugs, 'd', 'a'), ['d', 'a', 'b', 'c']);
  for (const [slug, target] of [['a', 'a'], ['x', 'a'], ['a', 'x']]) assert.equal(moved(slugs, slug, target), slugs);
});

test('hidden cameras keep their places', () => {
  assert.deepEqual(merged(['a', 'b', 'c', 'd'], ['d', 'b']), ['a', 'd', 'c', 'b']);
  assert.deepEqual(merged(['a', 'b'], []), ['a', 'b']);
});

test('stored preferences that are missing or invalid get defaults', () => {
  const defaults = { layout: 'auto', sort: 'own', turn: 0, order: [] };
  assert.deepEqual(validWall({}), defaults);
  assert.deepEqual(validWall({ layout: 5, sort: 'size', turn: 7, order: 'a' }), defaults);
  const valid = { layout: 16, sort: 'zone', turn: 30, order: ['a'] };
  assert.deepEqual(validWall({ ...valid, order: ['a', 1, null] }), valid);
  assert.equal(validWall({ order: Array.from({ length: 2000 }, String) }).order.length, 1000);
});
