// The words and the reading of an imported list.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TEMPLATE, decodeCsv, previewText } from '../../viewing/web/import/csv-file.js';
import { lineResult } from '../../viewing/web/import/rows.js';

test('a file is UTF-8, or else of Windows', () => {
  assert.equal(decodeCsv(new TextEncoder().encode('Tür,é')), 'Tür,é');
  assert.equal(decodeCsv(Uint8Array.of(0x54, 0xfc, 0x72)), 'Tür');
  assert.equal(decodeCsv(new TextEncoder().encode('\uFEFFurl')), 'url', 'the byte order mark is no text');
  assert.equal(decodeCsv(new Uint8Array()), '');
});

test('every line of the template has every column', () => {
  const lines = TEMPLATE.trim().split('\n').map((line) => line.split(',').length);
  assert.deepEqual(lines, [7, 7, 7]);
});

test('the check of a list is written', () => {
  const [good, warned, bad] = [{ ok: true }, { ok: true, warning: 'twice' }, { ok: false }];
  const clean = previewText({ rows: [good, good], valid: 2, invalid: 0 });
  assert.deepEqual([clean.good, clean.warned, clean.bad, clean.action], ['2 good', '', '', 'Import 2 cameras']);
  assert.equal(clean.summary, '2 lines: 2 good. No errors.');
  const mixed = previewText({ rows: [good, warned, bad], valid: 2, invalid: 1 });
  assert.deepEqual([mixed.warned, mixed.bad, mixed.action], ['1 with a warning', '1 with an error', 'Import the good lines only (2)']);
  assert.equal(mixed.summary, '3 lines: 2 good. 1 line with errors. 1 with warnings.');
  assert.equal(previewText({ rows: [bad], valid: 0, invalid: 1 }).action, 'Import');
  assert.equal(previewText({ rows: [good], valid: 1, invalid: 0 }).action, 'Import 1 camera');
});

test('the result of a line is written', () => {
  /** @type {[line: Parameters<typeof lineResult>[0], done: boolean, label: string, text: string][]} */
  const table = [
    [{ ok: true }, false, 'Good', ''],
    [{ ok: true }, true, 'Added', ''],
    [{ ok: true, warning: 'same address' }, false, 'Warning', 'same address'],
    [{ ok: false, error: { field: 'url', text: 'no scheme' } }, false, 'Address', 'no scheme'],
    [{ ok: false, error: { field: 'url', text: 'no scheme' } }, true, 'Skipped', 'Address: no scheme'],
    [{ ok: false, error: { field: 'color', text: 'unknown' } }, false, 'color', 'unknown'],
    [{ ok: false, error: { text: 'too many fields' } }, true, 'Skipped', 'too many fields'],
    [{ ok: false }, false, 'Line', ''],
  ];
  for (const [line, done, label, text] of table) assert.deepEqual(lineResult(line, done), { label, text });
});
