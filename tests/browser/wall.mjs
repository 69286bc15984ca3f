// Takes the README's pictures of the viewer page once the cameras that are registered there move.
//
//   node wall.mjs --base http://127.0.0.1:8080 --out wall.png [--scheme light|dark] [--width 1280] [--height 800]

import { options, until, untilMoves, withPage } from './chromium.mjs';

const { base, out, scheme = 'light', width = '1280', height = '800' } = options(
  ['base', 'out', 'scheme', 'width', 'height'],
  ['base', 'out'],
);
const PICTURE_SECONDS = 60;

try {
  await withPage({ base, colorScheme: scheme, viewport: { width: Number(width), height: Number(height) } }, async (page) => {
    await page.goto(base, { waitUntil: 'load' });
    const shown = page.locator('.stage:not([data-mode="off"])');
    await until('a camera is on the wall', PICTURE_SECONDS, async () => ({ ok: (await shown.count()) > 0 }));
    const inSight = await shown.evaluateAll((stages) => stages.filter((one) => one.getBoundingClientRect().top < innerHeight).length);
    for (let at = 0; at < inSight; at += 1) {
      for (const pane of await shown.nth(at).locator('.pane:not([hidden]) :is(canvas, video)').all()) {
        await untilMoves(`picture ${at + 1}`, pane, PICTURE_SECONDS);
      }
    }
    await page.screenshot({ path: out });
  });
  console.log(out);
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
}
