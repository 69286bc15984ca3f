// This script takes the README's pictures of the viewer page: a wall, dark and light, the page of a camera, the wall on a
// phone.
//
//   node pictures.mjs --base http://127.0.0.1:8080 --cameras rtsp://...,rtsp://... --out docs
//
// The server has no camera before. Exit code 0 when all were taken; else 1, with what was missing.

import { join } from 'node:path';
import { byTestId, openPage, options, register, until, untilMoves, withPage } from './chromium.mjs';

const { base, cameras, out } = options(['base', 'cameras', 'out'], ['base', 'cameras', 'out']);
const NAMES = ['Main gate', 'Yard', 'Loading dock', 'Reception', 'Workshop', 'Car park', 'Roof', 'Warehouse'];
const AWAY = { name: 'Bicycle shed', url: 'rtsp://127.0.0.1:9/stream1' }; // No host answers there.
const AWAY_AT = 5; // Its place is among the others, not behind them.
const DESK = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 780 };

const tileOf = (page, slug) => byTestId(page, `tile-${slug}`);

// Each visible picture moves, and its tile says so; the tile of the unreachable camera shows the outage.
async function untilComplete(page, slugs, away) {
  for (const slug of slugs) {
    const tile = tileOf(page, slug);
    await untilMoves(slug, byTestId(tile, 'jpeg-canvas'), 2);
    await until(`${slug} is shown as live`, async () => {
      const state = await byTestId(tile, 'state').getAttribute('data-state');
      const veil = await byTestId(tile, 'jpeg-veil').textContent();
      const stale = await byTestId(tile, 'age').evaluate((age) => age.classList.contains('stale'));
      return { ok: state === 'running' && veil === '' && !stale, state, veil, stale };
    });
  }
  if (away) await byTestId(tileOf(page, away), 'away').waitFor();
}

async function take(page, name) {
  await page.mouse.move(640, 30); // The pointer is over nothing that changes with it.
  await page.evaluate(() => document.activeElement?.blur());
  await page.screenshot({ path: join(out, name) });
}

try {
  const urls = cameras.split(',');
  const live = [];
  let away;
  for (const [at, url] of urls.entries()) {
    if (at === AWAY_AT) away = await register(base, { ...AWAY, always_on: true });
    live.push(await register(base, { url, name: NAMES[at] ?? `Camera ${at + 1}`, always_on: true }));
  }
  await withPage({ base, colorScheme: 'dark', viewport: DESK }, async (page) => {
    await openPage(page, base);
    await untilComplete(page, live, away);
    await take(page, 'wall.png');
    await page.emulateMedia({ colorScheme: 'light' });
    await take(page, 'wall-light.png');

    await page.emulateMedia({ colorScheme: 'dark' });
    await page.goto(new URL(`/#/camera/${live[0]}`, base).href);
    await untilMoves('the camera on its page', page.locator('.cp-stage canvas').first());
    await until('its facts are known', async () => {
      const facts = await byTestId(page, 'facts').innerText();
      return { ok: /H\.26[45]|h26[45]/.test(facts), facts };
    });
    await until('its age has a curve', async () => {
      const drawn = await page.locator('.spark-line').first().getAttribute('d');
      return { ok: (drawn?.length ?? 0) > 120, drawn };
    });
    await take(page, 'camera.png');

    await page.setViewportSize(PHONE);
    await page.goto(new URL('/#/', base).href);
    await untilComplete(page, live.slice(0, 2));
    await take(page, 'phone.png');
  });
  console.log(out);
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
}
process.exit();
