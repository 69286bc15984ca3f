// This script watches a stream as HLS while it moves to another worker: the same player continues.
//
//   node failover.mjs --base http://127.0.0.1:8080 --slug cam1-abc
//
// Prints `playing` once it plays; reads a line from stdin once the stream has moved; exits 0 when the playhead has
// passed everything that was there then, in the same page and the same player.

import { createInterface } from 'node:readline';
import { options, until, watchAs, withPage } from './chromium.mjs';

const { base, slug } = options(['base', 'slug'], ['base', 'slug']);
const BEYOND_SECONDS = 5; // of media that only the new owner can have made

const look = (video) => video.evaluate((element) => ({
  time: element.currentTime,
  end: element.buffered.length ? element.buffered.end(element.buffered.length - 1) : 0,
  source: element.currentSrc,
  error: element.error?.message ?? null,
  page: globalThis.samePage === true,
}));

try {
  await withPage({ base }, async (page, complaints) => {
    await page.goto(base, { waitUntil: 'load' });
    const tile = page.locator(`[data-testid="tile-${slug}"]`);
    const both = tile.locator('[data-testid="mode-both"]');
    await until('the tile is there', async () => ({ ok: (await both.count()) === 1 }));
    await watchAs(tile, 'both');
    const video = tile.locator('[data-testid="hls-video"]');
    await until('HLS plays', async () => {
      const now = await look(video);
      return { ok: now.time > 2, ...now };
    });
    await page.evaluate(() => { globalThis.samePage = true; });
    console.log('playing');

    for await (const _ of createInterface({ input: process.stdin })) break;
    const before = await look(video);
    const after = await until('the playhead is beyond what the old owner made', async () => {
      const now = await look(video);
      return { ok: now.time > before.end + BEYOND_SECONDS, ...now };
    });
    if (!after.page) throw new Error('the page was loaded again');
    if (after.source !== before.source) throw new Error(`the player was made anew: ${before.source}, ${after.source}`);
    if (after.error) throw new Error(after.error);
    const errors = complaints.filter((one) => one.startsWith('page error'));
    if (errors.length) throw new Error(errors.join('\n  '));
  });
  console.log('ok');
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
}
process.exit();
