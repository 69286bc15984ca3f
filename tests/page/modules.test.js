// The modules of the page: their imports, and what belongs to the page but not to a module.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { PAGE, findCircle, importGraph, importsOf } from './modules.js';

/** @type {Record<string, string[]>} Folders that a folder may import from, beside itself. */
const ALLOWED = {
  '': ['camera', 'import', 'lib', 'wall'],
  camera: ['lib', 'players'],
  import: ['lib'],
  lib: [],
  players: ['lib'],
  wall: ['lib', 'players'],
};

/** @param {string} name */
const folderOf = (name) => name.split('/').slice(0, -1).join('/');

test('a circle is found', () => {
  const graph = new Map([['a', ['b', 'c']], ['b', []], ['c', ['d']], ['d', ['a']]]);
  assert.deepEqual(findCircle(graph), ['a', 'c', 'd', 'a']);
  assert.equal(findCircle(new Map([['a', ['b', 'c']], ['b', ['c']], ['c', []]])), null);
});

test('every form of import is found', () => {
  const source = `import './one.js';
import two from '../two.js';
import * as three from './three.js';
import {
  four,
} from './sub/four.js';
export { five } from './five.js';
/** @import { Six } from './six.js' */
`;
  assert.deepEqual(importsOf(source, 'folder/name.js'), [
    'folder/one.js', 'two.js', 'folder/three.js', 'folder/sub/four.js', 'folder/five.js',
  ]);
});

test('no two modules import each other', async () => {
  assert.equal(findCircle(await importGraph()), null);
});

test('a folder imports only the folders below it', async () => {
  for (const [name, imports] of await importGraph()) {
    const folder = folderOf(name);
    assert.ok(folder in ALLOWED, `${name} stands in a folder without a rule`);
    for (const path of imports) {
      const other = folderOf(path);
      assert.ok(other === folder || ALLOWED[folder].includes(other), `${name} imports ${path}`);
    }
  }
});

test('every import exists, and every module is reached from app.js', async () => {
  const graph = await importGraph();
  const reached = new Set(['app.js']);
  for (const name of reached) {
    assert.ok(graph.has(name), `${name} does not exist`);
    for (const path of graph.get(name) ?? []) reached.add(path);
  }
  reached.add('lib/api-types.js'); // It has only types.
  assert.deepEqual([...reached].sort(), [...graph.keys()]);
});

test('the types of hls.js are those of the served version', async () => {
  const readme = await readFile(join(PAGE, 'vendor/hls/README.md'), 'utf8');
  const { devDependencies } = JSON.parse(await readFile(new URL('package.json', import.meta.url), 'utf8'));
  assert.equal(/^hls\.js (\S+)/.exec(readme)?.[1], devDependencies['hls.js']);
});
