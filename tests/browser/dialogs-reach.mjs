// This script checks the accessibility of the dialogs and the page of a camera: axe-core on every state, light on a desktop
// and dark on a phone, and nothing is wider than a phone. With --screenshots each state is shown in all four combinations.
//
//   node dialogs-reach.mjs --base http://127.0.0.1:8080 --camera rtsp://127.0.0.1:8554/cam1 [--screenshots DIR]

import { join } from 'node:path';
import { accessible } from './axe.mjs';
import { byTestId, deadPort, inBrowser, openAdd, openImport, openPage, press, register, status, step, tileOf, tryCamera,
  untilComplains, untilTiles, untilWorkersLook } from './cameras.mjs';
import { options, until, untilMoves } from './chromium.mjs';

const { base, camera, screenshots } = options(['base', 'camera', 'screenshots'], ['base', 'camera']);
const LOOKS = [
  { name: 'desktop-light', colorScheme: 'light', width: 1280, height: 800 },
  { name: 'phone-dark', colorScheme: 'dark', width: 360, height: 740 },
  // Twenty states take minutes on two shared processors, so these combinations are for screenshots only.
  { name: 'desktop-dark', colorScheme: 'dark', width: 1280, height: 800 },
  { name: 'phone-light', colorScheme: 'light', width: 360, height: 740 },
].slice(0, screenshots ? 4 : 2);

/** Checks the current state in each colour scheme and size. */
async function inEachLook(page, what, selector) {
  step(what);
  for (const { name, colorScheme, width, height } of LOOKS) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' }); // A colour half way to another is not a colour of the page.
    await page.setViewportSize({ width, height });
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    await page.evaluate(() => Promise.allSettled(document.getAnimations()
      .filter((one) => Number.isFinite(one.effect.getComputedTiming().endTime)).map((one) => one.finished)));
    if (screenshots) await page.screenshot({ path: join(screenshots, `${what.replace(/\W+/g, '-')}-${name}.png`) });
    // The wall behind it may still change its layout.
    await until(`${what}, ${name}: nothing is too wide`, async () => {
      const wide = await page.evaluate((place) => {
        const one = place ? document.querySelector(place) : document.documentElement;
        return [one.scrollWidth - one.clientWidth, document.documentElement.scrollWidth - innerWidth];
      }, selector ?? null);
      return { ok: wide.every((by) => by <= 0), wide };
    });
    await accessible(page, `${what}, ${name}`, selector);
  }
  await page.setViewportSize({ width: 1280, height: 800 });
}

async function adding(page) {
  const form = await openAdd(page);
  await inEachLook(page, 'add empty', '#add-dialog');
  await form.locator('details.more > summary').click();
  await byTestId(form, 'url-input').fill('rtsps://camera.example.org/live');
  await inEachLook(page, 'add with all fields', '#add-dialog');
  await form.locator('details.more > summary').click();
  await byTestId(form, 'url-input').fill('');
  await byTestId(form, 'add-submit').click();
  await untilComplains(form, 'url-input');
  await inEachLook(page, 'add with a complaint', '#add-dialog');
  await byTestId(form, 'url-input').fill(`rtsp://admin:x@127.0.0.1:${await deadPort()}/a/path/that/is/rather/long/and/has/no/blank/to/break/at`);
  await tryCamera(form, 'bad');
  await inEachLook(page, 'add test failed', '#add-dialog');
  await page.route('**/video/test', () => {}); // The request is never answered.
  await byTestId(form, 'try').click();
  await until('it waits', async () => (await byTestId(form, 'try-result').getAttribute('aria-busy')) === 'true');
  await inEachLook(page, 'add test under way', '#add-dialog');
  await byTestId(form, 'try').click();
  await page.unroute('**/video/test');
  await byTestId(form, 'url-input').fill(camera);
  await tryCamera(form, 'good');
  await inEachLook(page, 'add test good', '#add-dialog');
  await page.keyboard.press('Escape');
}

async function importing(page) {
  const dialog = await openImport(page);
  const place = '[data-testid="import-dialog"]';
  await inEachLook(page, 'import empty', place);
  const lines = Array.from({ length: 12 }, (_, at) => `rtsp://127.0.0.1:1/${'part/'.repeat(at)}${at},Camera number ${at}`);
  await byTestId(dialog, 'import-text').fill(`${lines.join('\n')}\nhttp://127.0.0.1/x,Wrong\n${lines[0]}\n`);
  await byTestId(dialog, 'import-preview').waitFor();
  await inEachLook(page, 'import preview of mistakes', place);
  await byTestId(dialog, 'import-problems').uncheck();
  await inEachLook(page, 'import preview of all', place);
  await byTestId(dialog, 'import-go').click();
  await byTestId(dialog, 'import-result').waitFor();
  await inEachLook(page, 'import result', place);
  await dialog.getByRole('button', { name: 'Import more' }).click();
  await byTestId(dialog, 'import-text').fill('url,name\n');
  await until('it is refused', () => byTestId(dialog, 'import-error').isVisible());
  await inEachLook(page, 'import refused', place);
  await page.keyboard.press('Escape');
}

async function changing(page, slug) {
  const tile = tileOf(page, slug);
  await byTestId(page, 'search').fill('Front');
  await press(page, tile, 'edit');
  await byTestId(page, 'edit-form').waitFor();
  await inEachLook(page, 'edit', '#edit');
  await until('the dialog is closed', async () => {
    await page.keyboard.press('Escape');
    return !(await byTestId(page, 'edit-form').isVisible());
  });
  await press(page, tile, 'remove');
  await byTestId(page, 'undo').focus(); // Its time stands still.
  await inEachLook(page, 'undo', '.toasts');
  await byTestId(page, 'undo').click();
  await untilTiles(page, slug, 1);
  await page.route(`**/video/${slug}/`, (route) => (route.request().method() === 'DELETE'
    ? route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"error":"the disk is full"}' })
    : route.fallback()));
  await press(page, tile, 'remove');
  await untilTiles(page, slug, 0);
  await page.mouse.move(0, 0);
  await byTestId(page, 'undo-failed').waitFor();
  await inEachLook(page, 'removal failed', '.toasts');
  await byTestId(page, 'undo-failed').getByRole('button').click();
  await page.unroute(`**/video/${slug}/`);
  await byTestId(page, 'menu').click();
  await byTestId(page, 'help').click();
  await inEachLook(page, 'help', '#help');
  await page.keyboard.press('Escape');
}

async function ownPage(page, slug) {
  await openPage(page, base, `#/camera/${slug}`);
  const own = byTestId(page, 'camera-page');
  await untilMoves('the JPEG canvas', byTestId(own, 'camera-jpeg'));
  await untilMoves('the HLS video', byTestId(own, 'camera-hls'));
  await until('the line has points', () => own.locator('.spark-line').evaluate((one) => (one.getAttribute('d')?.match(/[ML]/g)?.length ?? 0) > 2));
  await inEachLook(page, 'camera live');
  await byTestId(own, 'camera-start-stop').click();
  await until('it is stopped', async () => (await byTestId(own, 'camera-state').getAttribute('data-state')) === 'stopped');
  await inEachLook(page, 'camera stopped');
  await openPage(page, base, '#/camera/no-such-camera');
  await byTestId(page, 'camera-gone').waitFor();
  await inEachLook(page, 'camera unknown');
}

async function away(page) {
  const url = `rtsp://127.0.0.1:${await deadPort()}/gone`;
  const { slug } = await register(base, { url, name: 'A camera with a rather long name that is away, and says so', always_on: true });
  await until('it has a reason', async () => Boolean((await status(base, slug)).reason));
  await openPage(page, base, `#/camera/${slug}`);
  await until('the page says why', () => byTestId(page, 'camera-reason').isVisible());
  await inEachLook(page, 'camera away');
}

await inBrowser('dialogs and camera pages are accessible', { base }, async ({ page }) => {
  await untilWorkersLook(base, camera);
  await openPage(page, base);
  await adding(page);
  await importing(page);
  const { slug } = await register(base, { url: camera, name: 'Front door' });
  await untilTiles(page, slug, 1);
  await changing(page, slug);
  await ownPage(page, slug);
  await away(page);
});
