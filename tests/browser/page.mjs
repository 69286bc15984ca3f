// This script uses the viewer page as a person would: it adds a camera through the form, sees it move both ways, removes
// it, undoes that, and removes it again.
//
//   node page.mjs --base http://127.0.0.1:8080 --camera rtsp://127.0.0.1:8554/cam1 [--screenshot out.png]
//
// Exit code 0 when all of it worked; else 1, with what was seen last and a screenshot.

import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accessible } from './axe.mjs';
import { options, until, untilMoves, watchAs, withPage } from './chromium.mjs';

const { base, camera, screenshot } = options(['base', 'camera', 'screenshot'], ['base', 'camera']);
const LOOK_MS = 5000; // One attempt; the element may be gone, and others follow.
const name = `Browser test ${Math.random().toString(36).slice(2, 8)}`;

const byTestId = (place, id) => place.locator(`[data-testid="${id}"]`);
const step = (text) => console.error(`- ${text}`);

async function listed() {
  const response = await fetch(new URL('/video/', base));
  if (!response.ok) throw new Error(`GET /video/ answered ${response.status}`);
  return response.json();
}

async function useThePage(page, complaints) {
  step('open the page');
  await page.goto(base, { waitUntil: 'load' });
  const form = byTestId(page, 'add-form');
  await until('the page is connected to the server', async () => {
    const link = await byTestId(page, 'link').getAttribute('data-link');
    return { ok: link === 'up', link };
  });
  await byTestId(page, 'add-camera').click();

  step('an empty form is answered with a sentence at the URL');
  const submit = byTestId(form, 'add-submit');
  await submit.click();
  await until('the form shows the complaint', async () => {
    const text = await byTestId(form, 'error').textContent();
    const invalid = await byTestId(form, 'url-input').getAttribute('aria-invalid');
    return { ok: text.trim() !== '' && invalid === 'true', text, invalid };
  });
  // The browser logs every 4xx on the console; this script asks for this one.
  const asked = complaints.findIndex((one) => / 4\d\d /.test(one) && /\/video\/?\)$/.test(one));
  if (asked >= 0) complaints.splice(asked, 1);

  step(`add ${name}`);
  await byTestId(form, 'url-input').fill(camera);
  await byTestId(form, 'name-input').fill(name);
  await submit.click();
  const slot = page.locator('[data-testid="tile"]').filter({ has: page.getByRole('heading', { name, exact: true }) });
  await until('the new tile appears', async () => {
    const error = await byTestId(form, 'error').textContent();
    return { ok: (await slot.count()) === 1, tiles: await slot.count(), error };
  });
  const slug = await slot.locator('article').getAttribute('data-slug');
  const tile = byTestId(page, `tile-${slug}`);
  try {
    await watch(page, form, tile);
    if (complaints.length) throw complained(complaints);
    const { id } = (await listed()).find((one) => one.slug === slug);
    await remove(page, tile, slug);
    // The last requests of its players are answered before the page knows that the camera is gone.
    const late = (one) => / 404 /.test(one) && one.includes(`/video/play/${id}/`);
    if (!complaints.every(late)) throw complained(complaints);
  } catch (error) {
    error.message += `\n  tile: ${await describe(tile)}`;
    throw error;
  }
}

const complained = (complaints) => new Error(`the browser complained:\n  ${complaints.join('\n  ')}`);

async function watch(page, form, tile) {
  await until('the form is clear again', async () => {
    const left = await byTestId(form, 'url-input').inputValue();
    return { ok: left === '', left };
  });
  await watchAs(tile, 'both');

  step('JPEG moves');
  await untilMoves('the JPEG canvas', byTestId(tile, 'jpeg-canvas'));
  step('HLS moves');
  const video = byTestId(tile, 'hls-video');
  await untilMoves('the HLS video', video);
  const from = await video.evaluate((one) => one.currentTime);
  await until('the HLS playhead advances by a second', async () => {
    const now = await video.evaluate((one) => one.currentTime);
    return { ok: now >= from + 1, from, now };
  });
  step('a lower quality is encoded when it is chosen, and the source is there again after it');
  const quality = byTestId(tile, 'quality');
  const offered = await quality.evaluate((select) => [...select.options].map(({ value }) => value));
  const lower = offered.find((value) => /^\d+p$/.test(value));
  if (!lower || (await quality.inputValue()) !== 'source') throw new Error(`qualities: ${offered}`);
  const untilHigh = (what, fits) => until(what, async () => {
    const lines = await video.evaluate((one) => one.videoHeight);
    return { ok: fits(lines), lines };
  });
  await quality.selectOption(lower);
  await untilHigh(`${lower} is shown`, (lines) => `${lines}p` === lower);
  await quality.selectOption('source');
  await untilHigh('the source is shown', (lines) => lines > parseInt(lower, 10));
  step('the state says so');
  await until('the state is running', async () => {
    const state = await byTestId(tile, 'state').getAttribute('data-state');
    return { ok: state === 'running', state };
  });
  if (screenshot) await page.screenshot({ path: screenshot });
  step('the page is accessible');
  await accessible(page, 'the page with a camera');
}

async function remove(page, tile, slug) {
  step('remove it, by keyboard');
  await page.mouse.move(1, 1); // A pointer on the note would stop its time.
  await removeByKeyboard(page, tile);
  await until('the tile is gone', async () => ({ ok: (await tile.count()) === 0 }));
  step('take it back, and remove it again');
  await byTestId(page, 'undo').press('Enter');
  await until('the tile is back', async () => ({ ok: (await tile.count()) === 1 }));
  await removeByKeyboard(page, tile);
  await until('the tile is gone', async () => ({ ok: (await tile.count()) === 0 }));
  await until('the server no longer lists it', async () => {
    const slugs = (await listed()).map((one) => one.slug);
    return { ok: !slugs.includes(slug), slugs };
  });
}

async function removeByKeyboard(page, tile) {
  const remove = byTestId(tile, 'remove');
  const menu = byTestId(tile, 'tile-menu');
  const takesFocus = async (button) => {
    await button.focus({ timeout: LOOK_MS });
    return button.evaluate((one) => one === document.activeElement, null, { timeout: LOOK_MS });
  };
  await until('the button that removes has the focus', async () => {
    if (!(await remove.isVisible())) { // A small tile has its buttons in a menu.
      if (!(await takesFocus(menu))) return false;
      await page.keyboard.press('Enter');
    }
    return takesFocus(remove);
  });
  await page.keyboard.press('Enter');
}

async function describe(tile) {
  try {
    return (await tile.innerText({ timeout: 2000 })).replace(/\s*\n\s*/g, ' | ');
  } catch {
    return 'not on the page';
  }
}

try {
  await withPage({ base }, async (page, complaints) => {
    try {
      await useThePage(page, complaints);
    } catch (error) {
      const path = screenshot ?? join(tmpdir(), `rsm-page-failed-${process.pid}.png`);
      await page.screenshot({ path }).catch(() => {});
      if (complaints.length) console.error(`the browser's complaints so far:\n  ${complaints.join('\n  ')}`);
      console.error(`screenshot: ${path}`);
      throw error;
    }
  });
  console.log('ok: the page adds, shows as JPEG and as HLS, and removes a camera');
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  await dropLeftover();
  process.exitCode = 1;
}

// A failed run leaves no camera behind on the server under test.
async function dropLeftover() {
  try {
    for (const one of (await listed()).filter((each) => each.name === name)) {
      await fetch(new URL(`/video/${one.slug}/`, base), { method: 'DELETE' });
    }
  } catch {
    // The server itself may have failed.
  }
}
