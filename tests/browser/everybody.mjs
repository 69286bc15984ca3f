// This script checks the accessibility of every state of the viewer page with axe-core, light and dark, on desktop and
// phone.
//
//   node everybody.mjs --base http://127.0.0.1:8080 --camera rtsp://... --locked rtsp://... --dead rtsp://127.0.0.1:9/x
//
// `locked` asks for a password. The server has no camera before. Exit code 0 when all is well; else 1, with what is not.

import { accessible } from './axe.mjs';
import { byTestId, openPage, options, register, until, untilMoves, withPage } from './chromium.mjs';

const { base, camera, locked, dead } = options(['base', 'camera', 'locked', 'dead'], ['base', 'camera', 'locked', 'dead']);
const SCHEMES = ['light', 'dark'];
const DESK = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

const step = (text) => console.error(`- ${text}`);

/** Checks the page as it is now in both colour schemes, on a desktop and on a phone. */
async function everyWay(page, what, selector) {
  for (const colorScheme of SCHEMES) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    for (const [where, size] of [['on a phone', PHONE], ['at a desk', DESK]]) {
      await page.setViewportSize(size);
      await settled(page);
      await accessible(page, `${what}, ${colorScheme}, ${where}`, selector);
    }
  }
}

// Colours in a transition between the schemes belong to neither.
const settled = (page) => until('nothing is on its way', () => page.evaluate(() => document.getAnimations()
  .every(({ playState, effect }) => playState !== 'running' || effect?.getTiming().iterations === Infinity)));

async function closed(page, id) {
  await page.keyboard.press('Escape');
  await byTestId(page, id).waitFor({ state: 'hidden' });
}

async function lookAtDialogs(page) {
  step('dialogs');
  await byTestId(page, 'add-camera').click();
  await page.locator('#add-dialog details').evaluateAll((all) => all.forEach((one) => { one.open = true; }));
  await everyWay(page, 'the dialog that adds', '#add-dialog');
  await byTestId(byTestId(page, 'add-form'), 'add-submit').click();
  await page.locator('#add-dialog [aria-invalid="true"]').waitFor();
  await everyWay(page, 'the dialog that complains', '#add-dialog');
  await closed(page, 'add-dialog');
  await page.keyboard.press('?');
  await everyWay(page, 'the shortcuts', '#help');
  await closed(page, 'help-dialog');
  await byTestId(page, 'menu').click();
  await byTestId(page, 'import-open').click();
  await page.locator('dialog[open]').waitFor();
  await everyWay(page, 'the import', 'dialog[open]');
  await page.keyboard.press('Escape');
  await page.locator('dialog[open]').waitFor({ state: 'detached' });
}

async function lookAtTheWall(page) {
  step('a wall with cameras in every state');
  const live = await register(base, { url: camera, name: 'Live', always_on: true });
  const away = await register(base, { url: dead, name: 'Away', always_on: true });
  const refused = await register(base, { url: locked, name: 'Locked', always_on: true });
  const stopped = await register(base, { url: camera, name: 'Stopped' });
  const answer = await fetch(new URL(`/video/${stopped}/stop`, base), { method: 'POST' });
  if (!answer.ok) throw new Error(`stopping answered ${answer.status}`);
  for (const [slug, state] of [[live, 'running'], [away, 'reconnecting'], [refused, 'auth_failed'], [stopped, 'stopped']]) {
    await until(`${slug} is ${state}`, async () => {
      const now = await byTestId(byTestId(page, `tile-${slug}`), 'state').getAttribute('data-state');
      return { ok: now === state, now };
    });
  }
  await untilMoves('the live camera', byTestId(byTestId(page, `tile-${live}`), 'jpeg-canvas'));
  for (const layout of ['4', '64']) {
    await byTestId(page, 'layout').selectOption(layout);
    await everyWay(page, `the wall of ${layout}`);
  }
  const tile = byTestId(page, `tile-${away}`);
  await tile.hover();
  await byTestId(tile, 'tile-menu').click();
  await byTestId(tile, 'remove').waitFor();
  await everyWay(page, 'the menu of a tile');
  await byTestId(tile, 'edit').click();
  await byTestId(page, 'edit-dialog').waitFor();
  await everyWay(page, 'the dialog that edits', '#edit');
  await closed(page, 'edit-dialog');
  await byTestId(page, 'search').fill('nothing like it');
  await byTestId(page, 'nothing').waitFor();
  await everyWay(page, 'a search that finds nothing');
  await page.locator('#show-all').click();
  return { live, away, refused, stopped };
}

async function lookAtCameras(page, slugs) {
  for (const [what, slug] of Object.entries(slugs)) {
    step(`the page of a camera: ${what}`);
    await page.goto(new URL(`/#/camera/${slug}`, base).href);
    await until('the page of the camera', async () => {
      const heading = await page.locator('.cp-name').innerText();
      const state = await byTestId(page, 'camera-state').innerText();
      return { ok: heading !== slug && state !== '', heading, state };
    });
    if (what === 'live') await untilMoves('its picture', page.locator('.cp-stage canvas').first());
    await everyWay(page, `the page of a camera that is ${what}`);
  }
}

try {
  await withPage({ base }, async (page) => {
    await openPage(page, base);
    step('the empty wall');
    await byTestId(page, 'empty').waitFor();
    await everyWay(page, 'the empty wall');
    await lookAtDialogs(page);
    const slugs = await lookAtTheWall(page);
    await lookAtCameras(page, slugs);
  });
  console.log('ok: the page is accessible');
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
}
process.exit();
