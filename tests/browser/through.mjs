// This script watches a camera as HLS while faults happen to it: the same player in the same page continues.
//
//   node through.mjs --base http://127.0.0.1:8080 --slug cam1-abc
//
// Prints `playing` once it plays. Then for each line on stdin, which names an event: waits until the playhead has
// passed everything that was there by some seconds, and prints `through`. Exits 0 at the end of stdin when no player
// was made anew and hls.js met nothing fatal.

import { createInterface } from 'node:readline';
import { options, until, watchAs, withPage } from './chromium.mjs';

const { base, slug } = options(['base', 'slug'], ['base', 'slug']);
const BEYOND_SECONDS = 3; // seconds of media that was made after it

const look = (video) => video.evaluate((element) => ({
  time: element.currentTime,
  end: element.buffered.length ? element.buffered.end(element.buffered.length - 1) : 0,
  source: element.currentSrc,
  error: element.error?.message ?? null,
  same: globalThis.sameVideo === element,
}));

// Fatal errors of every player of the page are recorded, also those that the page recovers from.
const listenToHls = () => {
  globalThis.fatal = [];
  let library;
  Object.defineProperty(globalThis, 'Hls', {
    configurable: true,
    get: () => library,
    set: (Hls) => {
      library = class extends Hls {
        constructor(config) {
          super(config);
          globalThis.lowLatency = this.lowLatencyMode;
          this.on(Hls.Events.ERROR, (_, { fatal, type, details, error }) => {
            if (fatal) globalThis.fatal.push(`${type} ${details}: ${error?.message ?? ''}`);
          });
        }
      };
    },
  });
};

try {
  await withPage({ base }, async (page, complaints) => {
    await page.addInitScript(listenToHls);
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
    await video.evaluate((element) => { globalThis.sameVideo = element; });
    const first = await look(video);
    if (!(await page.evaluate(() => globalThis.lowLatency))) throw new Error('the player has no low latency');
    console.log('playing');

    for await (const event of createInterface({ input: process.stdin })) {
      const before = await look(video);
      const after = await until(`the playhead is beyond what was there before: ${event}`, async () => {
        const now = await look(video);
        return { ok: now.time > before.end + BEYOND_SECONDS, ...now, fatal: await page.evaluate(() => globalThis.fatal) };
      });
      if (after.fatal.length) throw new Error(`${event}: ${after.fatal.join(', ')}`);
      if (!after.same) throw new Error(`${event}: the page was loaded, or the video element made, again`);
      if (after.source !== first.source) throw new Error(`${event}: the player was made anew`);
      if (after.error) throw new Error(`${event}: ${after.error}`);
      console.log('through');
    }
    const errors = complaints.filter((one) => one.startsWith('page error'));
    if (errors.length) throw new Error(errors.join('\n  '));
  });
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
}
process.exit();
