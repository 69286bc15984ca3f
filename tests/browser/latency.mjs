// This script measures the age of the pictures that a viewer of the page sees as HLS: it reads the camera's clock row
// (the simulator's clock_row module describes it) off the video, and compares it with this machine's clock. A
// measurement, not a test: it prints one line of JSON, and exits 1 only when nothing plays.
//
//   node latency.mjs --base http://127.0.0.1:8080 --slug cam1-abc --fps 30 --clip-seconds 10 [--seconds 30]

import { options, until, watchAs, withPage } from './chromium.mjs';

const { base, slug, fps, 'clip-seconds': clip, seconds = '30' } = options(
  ['base', 'slug', 'fps', 'clip-seconds', 'seconds'],
  ['base', 'slug', 'fps', 'clip-seconds'],
);
const SETTLE_SECONDS = 15; // playing time in which the player catches up with the live edge
const EVERY_MS = 50;

/** Returns the ages of the pictures of `video` in milliseconds, for `seconds`. */
const watch = (video, facts) => video.evaluate(async (element, { fps, clip, seconds, everyMs }) => {
  const CELLS = 24;
  const [FIRST, PARITY] = [4, 20];
  const MARKERS = [[0, 1], [1, 0], [2, 1], [3, 1], [21, 0], [22, 1], [23, 0]];
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const read = () => {
    const width = element.videoWidth;
    const height = Math.floor(width / CELLS);
    if (height < 4) return null;
    [canvas.width, canvas.height] = [width, height];
    context.drawImage(element, 0, 0, width, height, 0, 0, width, height);
    const y = Math.floor(height / 2);
    const { data } = context.getImageData(0, y, width, 1);
    const cells = Array.from({ length: CELLS }, (_, cell) => Number(data[Math.floor(((cell + 0.5) * width) / CELLS) * 4 + 1] > 126));
    if (MARKERS.some(([cell, white]) => cells[cell] !== white)) return null;
    if (cells.slice(FIRST, PARITY + 1).reduce((sum, white) => sum + white) % 2) return null;
    return cells.slice(FIRST, PARITY).reduce((number, white) => number * 2 + white, 0);
  };
  const ages = [];
  for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
    const frame = read();
    const now = Date.now() / 1000;
    if (frame !== null) ages.push(((((now - frame / fps) % clip) + clip) % clip) * 1000);
    await new Promise((resolve) => setTimeout(resolve, everyMs)); // the pace of the measurement
  }
  return ages;
}, facts);

try {
  await withPage({ base }, async (page) => {
    await page.goto(base, { waitUntil: 'load' });
    const tile = page.locator(`[data-testid="tile-${slug}"]`);
    const both = tile.locator('[data-testid="mode-both"]');
    await until('the tile is there', async () => ({ ok: (await both.count()) === 1 }));
    await watchAs(tile, 'both');
    const video = tile.locator('[data-testid="hls-video"]');
    const begin = await until('HLS plays', () => video.evaluate((element) => element.currentTime > 0.5 && element.currentTime));
    await until('HLS has settled', () => video.evaluate((element, end) => element.currentTime > end, begin + SETTLE_SECONDS));
    const ages = await watch(video, { fps: Number(fps), clip: Number(clip), seconds: Number(seconds), everyMs: EVERY_MS });
    ages.sort((a, b) => a - b);
    if (!ages.length) throw new Error('no picture with a clock was seen');
    const at = (share) => Math.round(ages[Math.min(ages.length - 1, Math.floor(ages.length * share))]);
    console.log(JSON.stringify({ median_ms: at(0.5), p99_ms: at(0.99), pictures: ages.length }));
  });
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
}
process.exit();
