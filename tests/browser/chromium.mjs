// Knows how to run Debian's Chromium for these scripts: which flags, a profile that is gone afterwards, and what the
// browser complained about. Also how to wait: for a condition, with a deadline, and with what was seen last.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

/**
 * Longest that anything may take: an answer, a picture, one action on a page. Far beyond what is expected, as machines are
 * busy with others; it bounds a script that fails and costs one that works nothing.
 */
export const PATIENCE_SECONDS = 180;
const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Command line of a script here: every option is a string; `required` ones must be there. */
export function options(names, required) {
  const { values } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) });
  const missing = required.filter((name) => !values[name]);
  if (missing.length) {
    console.error(`missing ${missing.map((name) => `--${name}`).join(', ')}; known: ${names.map((name) => `--${name}`).join(' ')}`);
    process.exit(64);
  }
  return values;
}

/** Opens a browser, runs `use(page, complaints)`, closes everything whatever happens. */
export async function withPage({ base, viewport = { width: 1280, height: 800 }, colorScheme = 'light' }, use) {
  const profile = await mkdtemp(join(tmpdir(), 'rsm-browser-'));
  let context;
  try {
    context = await chromium.launchPersistentContext(profile, {
      executablePath: EXECUTABLE,
      headless: true,
      timeout: PATIENCE_SECONDS * 1000,
      viewport,
      colorScheme,
      chromiumSandbox: process.getuid() !== 0, // root cannot have one
      args: [
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--autoplay-policy=no-user-gesture-required',
      ],
    });
    context.setDefaultTimeout(PATIENCE_SECONDS * 1000);
    const page = context.pages()[0] ?? (await context.newPage());
    return await use(page, listen(page, new URL(base).origin));
  } finally {
    await context?.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

// Everything that should not happen on a page that works. Two exceptions, which the browser writes on the console whatever
// the page does about them: while a camera starts, the playlist may be answered 503, and a player on a busy machine may ask
// for a piece of media when its time is over. Whether it plays on is what scripts watch.
function listen(page, origin) {
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(`page error: ${error.stack ?? error}`));
  page.on('console', (message) => {
    if (message.type() !== 'error' && message.type() !== 'warning') return;
    const { url } = message.location();
    const expected = /\.m4s$/.test(url) ? / (404|503) / : / 503 /;
    if (url.includes('/video/play/') && expected.test(message.text())) return;
    complaints.push(`console ${message.type()}: ${message.text()} (${url})`);
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (['blob:', 'data:'].includes(url.protocol)) return;
    if (url.origin !== origin) complaints.push(`request to another origin: ${url.origin}${url.pathname}`);
  });
  page.on('websocket', (socket) => {
    const url = new URL(socket.url());
    if (url.host !== new URL(origin).host) complaints.push(`WebSocket to another origin: ${url.host}`);
  });
  return complaints;
}

/** Tries `look()` until it gives something true; fails when that takes too long, and says what `look` gave last. */
export async function until(what, look) {
  const deadline = Date.now() + PATIENCE_SECONDS * 1000;
  let last;
  for (;;) {
    try {
      last = await look();
      if (last && typeof last === 'object' && 'ok' in last ? last.ok : last) return last;
    } catch (error) {
      last = `${error.message}`.split('\n')[0];
    }
    if (Date.now() > deadline) throw new Error(`not within ${PATIENCE_SECONDS} s: ${what}; last seen: ${JSON.stringify(last)}`);
    await new Promise((resolve) => setTimeout(resolve, 200)); // pace of looking, not a wait for a result
  }
}

/** Part of a page, or of a part of it, by what tests call it. */
export const byTestId = (place, id) => place.locator(`[data-testid="${id}"]`);

/** Opens the viewer page and waits until it has the list of cameras. */
export async function openPage(page, base) {
  await page.goto(base, { waitUntil: 'load' });
  await untilConnected(page);
}

/** Waits until the page says that it is connected with the server. */
export const untilConnected = (page) => until('the page has heard from the server', async () => {
  const link = await byTestId(page, 'link').getAttribute('data-link');
  return { ok: link === 'up', link };
});

/** Registers a camera with the server at `base`, beside the page; its slug. */
export async function register(base, camera) {
  const answer = await fetch(new URL('/video/', base), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(camera),
  });
  if (answer.status !== 201) throw new Error(`POST /video/ answered ${answer.status}: ${await answer.text()}`);
  return (await answer.json()).slug;
}

/** Keeps count of the page's connections for pictures and for events, from now on. */
export function connections(page) {
  const sockets = new Map(); // WebSocket -> slug
  const events = new Set(); // event streams
  page.on('websocket', (socket) => {
    sockets.set(socket, decodeURIComponent(new URL(socket.url()).pathname.split('/')[3]));
    socket.on('close', () => sockets.delete(socket));
  });
  page.on('request', (request) => request.resourceType() === 'eventsource' && events.add(request));
  for (const end of ['requestfinished', 'requestfailed']) page.on(end, (request) => events.delete(request));
  return {
    /** Slugs whose pictures are on their way now, each once, in order. */
    get slugs() {
      return [...new Set(sockets.values())].sort();
    },
    get events() {
      return events.size;
    },
  };
}

/** A fingerprint of what a canvas or video shows now: 16x16 pixels as text; null before there is a picture. */
export const fingerprint = (locator) => locator.evaluate((picture) => {
  const [width, height] = [picture.videoWidth ?? picture.width, picture.videoHeight ?? picture.height];
  if (width < 32 || height < 32) return null;
  const small = document.createElement('canvas');
  small.width = small.height = 16;
  const context = small.getContext('2d', { willReadFrequently: true });
  context.drawImage(picture, 0, 0, 16, 16);
  const { data } = context.getImageData(0, 0, 16, 16);
  return data.some((value, at) => at % 4 !== 3 && value > 16) ? data.join() : null; // all black is no picture
});

/** Waits until `locator` (canvas or video) has shown `count` different pictures. */
export async function untilMoves(what, locator, count = 3) {
  const seen = new Set();
  await until(`${what} shows ${count} different pictures`, async () => {
    const one = await fingerprint(locator);
    if (one) seen.add(one);
    return { ok: seen.size >= count, differentPictures: seen.size };
  });
}

/** Chooses how a tile shows its camera (off, jpeg, hls, both): in the tile, or in the menu that a small one has. */
export async function watchAs(tile, mode) {
  const radio = tile.locator(`[data-testid="mode-${mode}"]`);
  const soon = { timeout: 5000 }; // a wall that is laid out anew takes buttons away; then comes another look
  await until(`${mode} is chosen`, async () => {
    if (await radio.isChecked()) return true;
    const inMenu = !(await radio.isVisible());
    if (inMenu) {
      await tile.hover(soon);
      await tile.locator('[data-testid="tile-menu"]').click(soon);
    }
    await radio.check({ force: true, ...soon }); // the radio itself lies under its label
    if (inMenu) await radio.press('Escape', soon);
    return radio.isChecked();
  });
}
