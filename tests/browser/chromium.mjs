// This module runs Debian's Chromium for these scripts, with a temporary profile, and collects the browser's complaints.
// It also waits for conditions, with a deadline, and reports the last value that it saw.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

/**
 * Deadline of an answer, a picture, or one action on a page. It is far beyond the expected time, because machines are
 * busy with others; it bounds a script that fails and costs one that works nothing.
 */
export const PATIENCE_SECONDS = 180;
const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Parses the command line of a script: every option is a string; `required` ones must be there. */
export function options(names, required) {
  const { values } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) });
  const missing = required.filter((name) => !values[name]);
  if (missing.length) {
    console.error(`missing ${missing.map((name) => `--${name}`).join(', ')}; known: ${names.map((name) => `--${name}`).join(' ')}`);
    process.exit(64);
  }
  return values;
}

/** Opens a browser, runs `use(page, complaints)`, and closes everything also after an error. */
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
      chromiumSandbox: process.getuid() !== 0, // Root cannot have a sandbox.
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

// Complaints are events that do not happen on a working page. Two exceptions are logged by the browser although the page
// handles them: while a camera starts, the playlist may be answered 503, and a player on a busy machine may request a
// segment that has expired. Scripts check that playback continues.
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

/** Calls `look()` until it returns a true value; fails after the deadline with the last value. */
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
    await new Promise((resolve) => setTimeout(resolve, 200)); // The interval between attempts.
  }
}

/** Returns the element of a page, or of a part of it, by its test id. */
export const byTestId = (place, id) => place.locator(`[data-testid="${id}"]`);

/** Opens the viewer page and waits until it has the list of cameras. */
export async function openPage(page, base) {
  await page.goto(base, { waitUntil: 'load' });
  await untilConnected(page);
}

/** Waits until the page says that it is connected with the server. */
export const untilConnected = (page) => until('the page is connected to the server', async () => {
  const link = await byTestId(page, 'link').getAttribute('data-link');
  return { ok: link === 'up', link };
});

/** Registers a camera with the server at `base`, beside the page, and returns its slug. */
export async function register(base, camera) {
  const answer = await fetch(new URL('/video/', base), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(camera),
  });
  if (answer.status !== 201) throw new Error(`POST /video/ answered ${answer.status}: ${await answer.text()}`);
  return (await answer.json()).slug;
}

/** Tracks the page's connections for pictures and for events, from now on. */
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

/** Returns a fingerprint of the picture in a canvas or video: 16x16 pixels as text; null before there is a picture. */
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
  const soon = { timeout: 5000 }; // A wall that is laid out anew removes buttons; another attempt follows.
  await until(`${mode} is chosen`, async () => {
    if (await radio.isChecked()) return true;
    const inMenu = !(await radio.isVisible());
    if (inMenu) {
      await tile.hover(soon);
      await tile.locator('[data-testid="tile-menu"]').click(soon);
    }
    await radio.check({ force: true, ...soon }); // The label covers the radio.
    if (inMenu) await radio.press('Escape', soon);
    return radio.isChecked();
  });
}
