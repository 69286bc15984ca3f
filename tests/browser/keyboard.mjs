// This script uses the viewer page without a mouse: it adds two cameras, reaches one, watches it, opens its page, comes
// back, moves it, removes it and undoes that.
//
//   node keyboard.mjs --base http://127.0.0.1:8080 --camera rtsp://127.0.0.1:8554/cam1
//
// The server has no camera before. Exit code 0 when all of it worked; else 1, with what was seen last.

import { byTestId, openPage, options, until, untilMoves, withPage } from './chromium.mjs';

const { base, camera } = options(['base', 'camera'], ['base', 'camera']);
const MOST_TABS = 60;

const step = (text) => console.error(`- ${text}`);
const focused = (page) => page.evaluate(() => {
  const { activeElement: at } = document;
  return { testid: at.dataset.testid ?? null, slug: at.closest('[data-slug]')?.dataset.slug ?? null, tag: at.localName, text: at.textContent.trim().slice(0, 40) };
});
const order = (page) => page.locator('[data-testid="wall"] article').evaluateAll((tiles) => tiles.map((one) => one.dataset.slug));

/** Presses Tab until the focused element matches. */
async function tabTo(page, what, fits) {
  const seen = [];
  for (let at = 0; at < MOST_TABS; at += 1) {
    const now = await focused(page);
    if (fits(now)) return now;
    seen.push(now.testid ?? `${now.tag} ${now.text}`);
    await page.keyboard.press('Tab');
  }
  throw new Error(`the Tab key does not lead to ${what}, but to: ${seen.join(', ')}`);
}

async function add(page, name) {
  await tabTo(page, 'the button that adds', ({ testid }) => testid === 'add-camera');
  await page.keyboard.press('Enter');
  await until('the focus is on the address', async () => (await focused(page)).testid === 'url-input');
  await page.keyboard.type(camera);
  await tabTo(page, 'the name', ({ testid }) => testid === 'name-input');
  await page.keyboard.type(name);
  await page.keyboard.press('Enter');
  const { slug } = await until('the new tile has the focus', async () => {
    const now = await focused(page);
    return { ok: now.slug?.startsWith(name.toLowerCase()) && now.tag === 'a', slug: now.slug, now };
  });
  return slug;
}

// A large tile has its controls beside its name, a small one in its menu.
async function control(page, slug, testid) {
  const button = byTestId(byTestId(page, `tile-${slug}`), testid);
  if (!(await button.isVisible())) {
    await tabTo(page, 'the menu', (now) => now.testid === 'tile-menu' && now.slug === slug);
    await page.keyboard.press('Enter');
    await button.waitFor();
  }
  await tabTo(page, testid, (now) => now.testid === testid && now.slug === slug);
  await page.keyboard.press('Enter');
}

async function goTo(page, slug, key) {
  await page.keyboard.press(key);
  await until(`${key} leads to ${slug}`, async () => {
    const now = await focused(page);
    return { ok: now.slug === slug && now.tag === 'a', now };
  });
}

async function work(page) {
  step('add two cameras');
  const one = await add(page, 'One');
  await page.reload({ waitUntil: 'load' }); // The focus is at the top again.
  const two = await add(page, 'Two');
  await until('both are on the wall', async () => (await order(page)).length === 2);

  step('go from one to the other, watch as HLS');
  await goTo(page, one, 'ArrowLeft');
  const tile = byTestId(page, `tile-${one}`);
  await untilMoves('the JPEG picture', byTestId(tile, 'jpeg-canvas'));
  if (!(await byTestId(tile, 'mode-jpeg').isVisible())) {
    await tabTo(page, 'the menu', (now) => now.testid === 'tile-menu');
    await page.keyboard.press('Enter');
  }
  await tabTo(page, 'the ways to watch', (now) => now.testid === 'mode-jpeg' && now.slug === one);
  await page.keyboard.press('ArrowRight');
  await untilMoves('the HLS video', byTestId(tile, 'hls-video'));
  await page.keyboard.press('Escape');

  step('open its page, and come back');
  await page.reload({ waitUntil: 'load' });
  await tabTo(page, 'a tile', ({ tag, slug }) => tag === 'a' && slug);
  if ((await focused(page)).slug !== one) await goTo(page, one, 'ArrowLeft');
  await page.keyboard.press('Enter');
  await byTestId(page, 'camera-state').waitFor();
  await until('the page of the camera', async () => {
    const now = await focused(page);
    return { ok: now.text === 'One', now };
  });
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Enter');
  await until('the wall, with the focus where it was', async () => {
    const now = await focused(page);
    return { ok: now.slug === one && now.tag === 'a', now };
  });

  step('move it');
  await control(page, one, 'move');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  await until('the other order', async () => {
    const now = await order(page);
    return { ok: now.join() === [two, one].join(), now };
  });
  await goTo(page, two, 'ArrowLeft');
  await goTo(page, one, 'ArrowRight');

  step('remove it, and take that back');
  await control(page, one, 'remove');
  await until('one is left, and has the focus', async () => {
    const now = await focused(page);
    return { ok: now.slug === two && (await order(page)).join() === two, now };
  });
  await page.keyboard.press('Control+z');
  await until('it is back, with the focus', async () => {
    const now = await focused(page);
    return { ok: now.slug === one && (await order(page)).join() === [two, one].join(), now };
  });
  step('remove it, and take that back by its button');
  await control(page, one, 'remove');
  await tabTo(page, 'the button that takes it back', ({ testid }) => testid === 'undo');
  await page.keyboard.press('Enter');
  await until('it is back, with the focus', async () => {
    const now = await focused(page);
    return { ok: now.slug === one && (await order(page)).join() === [two, one].join(), now };
  });
}

try {
  await withPage({ base }, async (page, complaints) => {
    await openPage(page, base);
    await work(page);
    if (complaints.length) throw new Error(`the browser complained:\n  ${complaints.join('\n  ')}`);
  });
  console.log('ok: the page needs no mouse');
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
}
process.exit();
