// This script watches the first camera of the page play as HLS for a while and reports how steady it was. A measurement,
// not a test: it prints figures, and exits 1 only when nothing plays.
//
//   node steady.mjs --base http://127.0.0.1:8080 [--seconds 300]

import { options, until, watchAs, withPage } from './chromium.mjs';

const { base, seconds = '300' } = options(['base', 'seconds'], ['base']);
const STALL_MS = 500; // a video whose time stands still for this long has stalled

const look = (video) => video.evaluate((element) => ({
  time: element.currentTime,
  dropped: element.getVideoPlaybackQuality().droppedVideoFrames,
  shown: element.getVideoPlaybackQuality().totalVideoFrames,
  ranges: element.buffered.length,
  error: element.error?.message ?? null,
  heap: performance.memory?.usedJSHeapSize ?? 0,
}));

try {
  await withPage({ base }, async (page, complaints) => {
    await page.goto(base, { waitUntil: 'load' });
    const tile = page.locator('[data-testid="tile"]').first();
    await tile.waitFor();
    await watchAs(tile, 'hls');
    const video = tile.locator('video');
    await until('HLS plays', async () => (await look(video)).time > 2);
    const first = await look(video);
    const begun = Date.now();
    let [last, moved, stalls, longest] = [first, Date.now(), 0, 0];
    while (Date.now() - begun < Number(seconds) * 1000) {
      await page.waitForTimeout(100); // the pace of the measurement
      const now = await look(video);
      if (now.time !== last.time) {
        const stood = Date.now() - moved;
        longest = Math.max(longest, stood);
        if (stood > STALL_MS) stalls += 1;
        moved = Date.now();
      }
      last = now;
    }
    const took = (Date.now() - begun) / 1000;
    console.log(JSON.stringify({
      seconds: Math.round(took),
      played_seconds: Number((last.time - first.time).toFixed(1)),
      stalls,
      longest_standstill_ms: longest,
      frames_shown: last.shown - first.shown,
      frames_dropped_by_the_browser: last.dropped - first.dropped,
      buffered_ranges: last.ranges,
      video_error: last.error,
      heap_mb: [first.heap, last.heap].map((bytes) => Number((bytes / 1e6).toFixed(1))),
      complaints,
    }, null, 2));
  });
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
}
