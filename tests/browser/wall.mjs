// This script uses the wall with the mouse: layouts, pages, search and filter, another order, full screen. It also counts
// the page's connections: one for each visible tile, and none while the page is hidden.
//
//   node wall.mjs --base http://127.0.0.1:8080 --camera rtsp://127.0.0.1:8554/cam1 --dead rtsp://127.0.0.1:9/nobody
//
// The server has no camera before. Exit code 0 when all of it worked; else 1, with what was seen last.

import { byTestId, connections, openPage, options, register, until, untilMoves, withPage } from './chromium.mjs';

const { base, camera, dead } = options(['base', 'camera', 'dead'], ['base', 'camera', 'dead']);
const LIVE = ['Gate 1', 'Gate 2', 'Gate 3']; // cameras that show pictures; the rest costs the machine nothing
const DEAD = 7;

const step = (text) => console.error(`- ${text}`);
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const sorted = (list) => [...list].sort();

const slugsOn = (page) => page.locator('[data-testid="wall"] article').evaluateAll((tiles) => tiles.map((one) => one.dataset.slug));
const columnsOf = (page) => byTestId(page, 'wall').evaluate((wall) => getComputedStyle(wall).gridTemplateColumns.split(' ').length);

const untilShows = (page, what, wanted) => until(what, async () => {
  const slugs = await slugsOn(page);
  return { ok: same(slugs, wanted), slugs, wanted };
});

const untilOpen = (open, what, wanted) => until(what, async () => {
  const { slugs } = open;
  return { ok: same(slugs, sorted(wanted)), slugs, wanted: sorted(wanted) };
});

async function choosesLayouts(page, open, all) {
  step('every camera is on the wall at first');
  await untilShows(page, 'all cameras', all);
  await untilOpen(open, 'pictures of all of them', all);
  for (const slug of all.slice(0, LIVE.length)) await untilMoves(slug, byTestId(byTestId(page, `tile-${slug}`), 'jpeg-canvas'));

  step('layouts of 64, 16 and 4, the last one remembered');
  for (const [tiles, columns] of [[64, 8], [16, 4], [4, 2]]) {
    await byTestId(page, 'layout').selectOption(String(tiles));
    await untilShows(page, `${tiles} tiles`, all.slice(0, tiles));
    await until(`${columns} columns or more`, async () => {
      const now = await columnsOf(page);
      return { ok: now >= columns, now };
    });
  }
  await page.reload({ waitUntil: 'load' });
  await untilShows(page, 'the layout of 4 again', all.slice(0, 4));
}

async function turnsPages(page, open, all) {
  step('pages, and no pictures of the others');
  await untilOpen(open, 'pictures of the first page', all.slice(0, 4));
  await byTestId(page, 'page-next').click();
  await untilShows(page, 'the second page', all.slice(4, 8));
  await untilOpen(open, 'pictures of the second page', all.slice(4, 8));
  await page.keyboard.press('PageDown');
  await untilShows(page, 'the last page', all.slice(8));
  await untilOpen(open, 'pictures of the last page', all.slice(8));
  const text = await byTestId(page, 'page-text').textContent();
  if (text !== `9 to 10 of ${all.length}` || !(await byTestId(page, 'page-next').isDisabled())) throw new Error(`the last page says: ${text}`);
  await byTestId(page, 'page-back').click();
  await page.keyboard.press('PageUp');
  await untilShows(page, 'the first page', all.slice(0, 4));
}

async function finds(page, open, { live, away, all }) {
  step('search by words');
  await page.keyboard.press('/');
  await page.keyboard.type('2 gate');
  await untilShows(page, 'the camera that was searched for', [live[1]]);
  await untilOpen(open, 'its pictures only', [live[1]]);
  await byTestId(page, 'search').fill('nothing like it');
  await byTestId(page, 'nothing').waitFor();
  await page.locator('#show-all').click();
  await untilShows(page, 'the first page again', all.slice(0, 4));

  step('filter by state');
  await byTestId(page, 'layout').selectOption('16');
  await until('the counts are known', async () => {
    const text = await byTestId(page, 'group-away').innerText();
    return { ok: text.includes(String(away.length)), text };
  });
  await byTestId(page, 'group-away').click();
  await untilShows(page, 'cameras that are away', away);
  await byTestId(page, 'group-live').click();
  await untilShows(page, 'cameras that are live', live);
  await byTestId(page, 'group-all').click();
  await untilShows(page, 'all cameras', all);
}

async function drags(page, all) {
  step('drag the first tile to the third place');
  const middle = async (slug) => {
    const { x, y, width, height } = await byTestId(page, `tile-${slug}`).boundingBox();
    return [x + width / 2, y + height / 2];
  };
  await page.mouse.move(...await middle(all[0]));
  await page.mouse.down();
  await page.mouse.move(...await middle(all[2]), { steps: 12 });
  await page.mouse.up();
  const order = [all[1], all[2], all[0], ...all.slice(3)];
  await untilShows(page, 'the new order', order);
  if (new URL(page.url()).hash.includes('camera')) throw new Error('the drag opened the camera');
  await page.reload({ waitUntil: 'load' });
  await untilShows(page, 'the new order after a reload', order);
  return order;
}

async function fills(page, slug) {
  step('full screen: a tile, the wall');
  const tile = byTestId(page, `tile-${slug}`);
  const whatFills = () => page.evaluate(() => document.fullscreenElement?.dataset.slug ?? document.fullscreenElement?.localName ?? null);
  const untilFills = (what, wanted) => until(what, async () => {
    const now = await whatFills();
    return { ok: now === wanted, now };
  });
  await byTestId(tile, 'jpeg-canvas').dblclick();
  await untilFills('the tile fills the screen', slug);
  await untilMoves('the tile in full screen', byTestId(tile, 'jpeg-canvas'));
  await byTestId(tile, 'jpeg-canvas').dblclick();
  await untilFills('the page is there again', null);
  await byTestId(page, 'wall-full').click();
  await untilFills('the wall fills the screen', 'html');
  if (await byTestId(page, 'add-camera').isVisible()) throw new Error('the full wall has a header');
  await untilMoves('a tile of the full wall', byTestId(tile, 'jpeg-canvas'));
  await page.mouse.move(20, 20);
  await byTestId(page, 'wall-full-end').click();
  await untilFills('the page is there again', null);
  await byTestId(page, 'add-camera').waitFor();
}

async function savesWhatIsOutOfSight(page, open, order) {
  step('no pictures of what is scrolled away');
  const before = page.viewportSize();
  await page.setViewportSize({ width: 400, height: 600 });
  await until('a column of tiles', async () => (await columnsOf(page)) === 1);
  const [first, last] = [order[0], order.at(-1)];
  await until('pictures of the top only', () => ({ ok: open.slugs.includes(first) && !open.slugs.includes(last), slugs: open.slugs }));
  await byTestId(page, `tile-${last}`).scrollIntoViewIfNeeded();
  await until('pictures of the end only', () => ({ ok: open.slugs.includes(last) && !open.slugs.includes(first), slugs: open.slugs }));
  await page.setViewportSize(before);
  await untilOpen(open, 'pictures of all again', order);
}

// Playwright keeps every page visible, so the script reports the page as hidden in the browser's place.
const setHidden = (page, hidden) => page.evaluate((value) => {
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => value });
  Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => (value ? 'hidden' : 'visible') });
  document.dispatchEvent(new Event('visibilitychange'));
}, hidden);

async function restsWhileHidden(page, open, { order, live }) {
  step('a hidden page gives back every connection, and takes them up again');
  await until('one connection for events', () => ({ ok: open.events === 1, events: open.events }));
  await setHidden(page, true);
  await until('nothing is open', () => ({ ok: open.events === 0 && open.slugs.length === 0, events: open.events, slugs: open.slugs }));
  const slug = await register(base, { url: dead, name: 'Added meanwhile' });
  await setHidden(page, false);
  await untilOpen(open, 'all is open again', [...order, slug]);
  await until('one connection for events again', () => ({ ok: open.events === 1, events: open.events }));
  await untilMoves('a picture', byTestId(byTestId(page, `tile-${live[0]}`), 'jpeg-canvas'));
}

try {
  const live = [];
  const away = [];
  for (const name of LIVE) live.push(await register(base, { url: camera, name, always_on: true }));
  for (let at = 1; at <= DEAD; at += 1) away.push(await register(base, { url: dead, name: `Yard ${at}` }));
  const all = [...live, ...away];
  await withPage({ base }, async (page, complaints) => {
    const open = connections(page);
    await openPage(page, base);
    await choosesLayouts(page, open, all);
    await turnsPages(page, open, all);
    await finds(page, open, { live, away, all });
    const order = await drags(page, all);
    await fills(page, live[0]);
    await savesWhatIsOutOfSight(page, open, order);
    await restsWhileHidden(page, open, { order, live });
    if (complaints.length) throw new Error(`the browser complained:\n  ${complaints.join('\n  ')}`);
  });
  console.log('ok: the wall shows what is asked for, and asks for what it shows');
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
}
process.exit();
