// This script leaves a wall of 64 moving pictures open for a while and reports its cost in the browser every ten seconds. A
// measurement, not a test: it prints lines of JSON, and exits 1 only when the pictures do not begin.
//
//   node wall64.mjs --base http://127.0.0.1:8080 [--minutes 10]
//
// The 64 streams are registered there already. The page's own wall is used once it has a layout of 64; else a bare page
// with as many WebSockets and canvases.

import { options, until, withPage } from './chromium.mjs';

const { base, minutes = '10' } = options(['base', 'minutes'], ['base']);
const TILES = 64;
const [FPS, WIDTH] = [5, 320];
const EVERY_MS = 10_000;

// Counts the pictures drawn on each canvas, by any code of the page.
function countDraws() {
  const draws = new Map();
  globalThis.rsmDraws = () => {
    for (const canvas of draws.keys()) if (!canvas.isConnected) draws.delete(canvas);
    return [...draws.values()];
  };
  const { drawImage } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.drawImage = function (...rest) {
    draws.set(this.canvas, (draws.get(this.canvas) ?? 0) + 1);
    return drawImage.apply(this, rest);
  };
}

// The page has only canvases: the newest frame of each stream, decoded one at a time.
function barePage({ slugs, fps, width }) {
  const canvases = slugs.map((slug) => {
    const canvas = document.createElement('canvas');
    const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/ws/stream/${slug}/?fps=${fps}&width=${width}`);
    let [waiting, busy] = [null, false];
    const show = async () => {
      busy = true;
      while (waiting) {
        const newest = waiting;
        waiting = null;
        const picture = await createImageBitmap(newest);
        [canvas.width, canvas.height] = [picture.width, picture.height];
        canvas.getContext('2d', { alpha: false }).drawImage(picture, 0, 0);
        picture.close();
      }
      busy = false;
    };
    socket.binaryType = 'blob';
    socket.onmessage = ({ data }) => {
      if (typeof data === 'string') return;
      waiting = data;
      if (!busy) show();
    };
    return canvas;
  });
  document.body.replaceChildren(...canvases);
  for (const canvas of canvases) canvas.style.width = '11%';
}

async function openWall(page) {
  await page.goto(base, { waitUntil: 'load' });
  const layout = page.locator('[data-testid="layout"]');
  const has = (await layout.count()) > 0 && (await layout.locator(`option[value="${TILES}"]`).count()) > 0;
  if (has) {
    await layout.selectOption(String(TILES));
    return 'the wall';
  }
  const answer = await fetch(new URL(`/video/?limit=${TILES}`, base));
  const slugs = (await answer.json()).map(({ slug }) => slug);
  await page.goto(new URL('/health/live', base).href, { waitUntil: 'load' });
  await page.evaluate(barePage, { slugs, fps: FPS, width: WIDTH });
  return 'a bare page';
}

async function measure(page, complaints) {
  const sockets = { open: 0, opened: 0 };
  page.on('websocket', (socket) => {
    sockets.open += 1;
    sockets.opened += 1;
    socket.on('close', () => { sockets.open -= 1; });
  });
  const browser = await page.context().newCDPSession(page);
  await page.addInitScript(countDraws);
  const what = await openWall(page);
  const drawn = () => page.evaluate(() => globalThis.rsmDraws());
  await until(`${TILES} pictures move`, async () => {
    const moving = (await drawn()).filter((draws) => draws > 1).length;
    return { ok: moving >= TILES, moving };
  });
  console.log(JSON.stringify({ begun: what }));
  const end = Date.now() + Number(minutes) * 60_000;
  let [before, at] = [await drawn(), performance.now()];
  while (Date.now() < end) {
    await page.waitForTimeout(EVERY_MS); // the pace of the measurement
    const [now, seconds] = [await drawn(), (performance.now() - at) / 1000];
    at = performance.now();
    const rates = now.map((draws, tile) => (draws - (before[tile] ?? 0)) / seconds).sort((a, b) => a - b);
    before = now;
    await browser.send('HeapProfiler.collectGarbage');
    const { usedSize } = await browser.send('Runtime.getHeapUsage');
    const { nodes, jsEventListeners } = await browser.send('Memory.getDOMCounters');
    const [slowest, middle, fastest] = [rates[0], rates[rates.length >> 1], rates.at(-1)].map((rate) => Number(rate.toFixed(2)));
    console.log(JSON.stringify({
      tiles: rates.length,
      fps: { slowest, middle, fastest },
      heap_mb: Number((usedSize / 1e6).toFixed(2)),
      nodes,
      listeners: jsEventListeners,
      sockets: sockets.open,
      sockets_opened: sockets.opened,
    }));
  }
  await page.waitForTimeout(1000); // A measurement of the browser's processes still finds them.
  console.log(JSON.stringify({ ended: true, complaints: complaints.slice(0, 20) }));
}

try {
  await withPage({ base, viewport: { width: 1920, height: 1080 } }, measure);
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
}
