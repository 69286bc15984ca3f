// This script leaves the wall open while servers and cameras fail and return: the page says so, and continues by itself,
// without being loaded again.
//
//   node faults.mjs --base http://127.0.0.1:8080 --slug cam1-abc
//
// Prints `watching` once the camera's pictures move. Then for each line on stdin, which names an event (camera gone,
// camera back, worker gone, api gone, api back): waits until the page shows it, and prints `seen`. Exits 0 at the end of
// stdin when it is still the same page.

import { createInterface } from 'node:readline';
import { accessible } from './axe.mjs';
import { byTestId, openPage, options, until, untilMoves, withPage } from './chromium.mjs';

const { base, slug } = options(['base', 'slug'], ['base', 'slug']);

async function untilAway(page, tile) {
  const words = await until('the tile says that the camera is away, and since when', async () => {
    const state = await byTestId(tile, 'state').getAttribute('data-state');
    const text = await tile.locator('.away-line').innerText();
    const visible = await byTestId(tile, 'away').isVisible();
    return { ok: visible && state === 'reconnecting' && /\bfor \d+ .*\bsince \d/s.test(text), state, visible, text };
  });
  const lasting = words.text;
  await until('the tile counts on', async () => (await tile.locator('.away-line').innerText()) !== lasting);
  await accessible(page, 'a wall with a camera that is away');
}

async function untilBack(tile) {
  await until('the tile says nothing of it any more', async () => {
    const state = await byTestId(tile, 'state').getAttribute('data-state');
    const visible = await byTestId(tile, 'away').isVisible();
    const veil = await byTestId(tile, 'jpeg-veil').textContent();
    return { ok: state === 'running' && !visible && veil === '', state, visible, veil };
  });
  await moves(tile);
}

const moves = (tile) => untilMoves('the picture', byTestId(tile, 'jpeg-canvas'));

const untilLink = (page, wanted) => until(`the header says ${wanted}`, async () => {
  const link = byTestId(page, 'link');
  const [state, text] = [await link.getAttribute('data-link'), (await link.innerText()).trim()];
  return { ok: state === wanted && text !== '', state, text };
});

const SHOWN = {
  'camera gone': untilAway,
  'camera back': (_, tile) => untilBack(tile),
  'worker gone': (_, tile) => untilBack(tile),
  'api gone': (page) => untilLink(page, 'down'),
  'api back': async (page, tile) => {
    await untilLink(page, 'up');
    await untilBack(tile);
  },
};

try {
  await withPage({ base }, async (page, complaints) => {
    await openPage(page, base);
    const tile = byTestId(page, `tile-${slug}`);
    await until('the tile is there', async () => (await tile.count()) === 1);
    await moves(tile);
    await tile.evaluate((element) => { globalThis.sameTile = element; });
    console.log('watching');

    for await (const event of createInterface({ input: process.stdin })) {
      if (!SHOWN[event]) throw new Error(`what is "${event}"?`);
      try {
        await SHOWN[event](page, tile);
      } catch (error) {
        throw new Error(`${event}: ${error.message}`, { cause: error });
      }
      if (!(await tile.evaluate((element) => globalThis.sameTile === element))) throw new Error(`${event}: the page or its tile was made anew`);
      console.log('seen');
    }
    // The browser itself writes on the console that a server is away.
    const errors = complaints.filter((one) => one.startsWith('page error'));
    if (errors.length) throw new Error(errors.join('\n  '));
  });
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
}
process.exit();
