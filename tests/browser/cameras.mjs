// This module holds the steps that scripts about dialogs and camera pages share: they ask the server, open the page,
// press a camera's buttons, and report a failure with a screenshot.

import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PATIENCE_SECONDS, until, withPage } from './chromium.mjs';


const LOOK_MS = 5000; // One attempt; the element may be gone, and others follow.

export const byTestId = (place, id) => place.locator(`[data-testid="${id}"]`);
export const step = (text) => console.error(`- ${text}`);

export function must(fits, what) {
  if (!fits) throw new Error(what);
}

/** Runs `use({page, complaints})` in a browser; ends the process with an error and a screenshot, or with "ok". */
export async function inBrowser(title, { base, viewport, colorScheme }, use) {
  try {
    await withPage({ base, viewport, colorScheme }, async (page, complaints) => {
      try {
        await use({ page, complaints });
      } catch (error) {
        const path = join(tmpdir(), `rsm-page-failed-${process.pid}.png`);
        await page.screenshot({ path }).catch(() => {});
        if (complaints.length) console.error(`the browser's complaints so far:\n  ${complaints.join('\n  ')}`);
        console.error(`screenshot: ${path}`);
        throw error;
      }
    });
    console.log(`ok: ${title}`);
    process.exit(0);
  } catch (error) {
    console.error(`FAILED: ${error.stack ?? error.message}`);
    process.exit(1);
  }
}

/** Fails when the browser complained about anything that no pattern of `allowed` matches. */
export function mustBeQuiet(complaints, allowed = []) {
  const rest = complaints.filter((one) => !allowed.some((fits) => fits.test(one)));
  must(rest.length === 0, `the browser complained:\n  ${rest.join('\n  ')}`);
}

// --- the server ---

async function ask(base, path, { method = 'GET', body, type = 'application/json' } = {}) {
  const headers = body === undefined ? {} : { 'Content-Type': type };
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(new URL(path, base), { method, headers, body: text });
  const said = await response.text();
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${said}`);
  return said ? JSON.parse(said) : null;
}

export const listed = (base) => ask(base, '/video/');
export const named = async (base, name) => (await listed(base)).find((one) => one.name === name);
export const status = (base, slug) => ask(base, `/video/${slug}/status`);
/** Registers a camera and returns it as the server shows it. */
export const register = (base, body) => ask(base, '/video/', { method: 'POST', body });
export const unregister = (base, slug) => ask(base, `/video/${slug}/`, { method: 'DELETE' });

/** Waits until a worker that has just started accepts probes, so that those of the page are answered. */
export const untilWorkersLook = (base, url) => until('a worker looks at cameras', async () => {
  const answer = await ask(base, '/video/test', { method: 'POST', body: { url } });
  return { ok: Boolean(answer), answer };
});

/** Returns a port of this machine that no process listens on: it is opened and closed again. */
export async function deadPort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// --- the page ---

/** Opens the wall (or another place of the page) and waits until it is connected to the server. */
export async function openPage(page, base, hash = '') {
  await page.goto(new URL(`/${hash}`, base).href, { waitUntil: 'load' });
  await untilHeard(page);
}

export const untilHeard = (page) => until('the page has heard from the server', async () => {
  const link = await byTestId(page, 'link').getAttribute('data-link');
  return { ok: link === 'up', link };
});

export const tileOf = (page, slug) => byTestId(page, `tile-${slug}`);

export const untilTiles = (page, slug, count) => until(`the camera has ${count} tiles`, async () => {
  const tiles = await tileOf(page, slug).count();
  return { ok: tiles === count, tiles };
});

/** Presses a button of a tile: in the tile, or in the menu that a small one has. */
export const press = (page, tile, id) => pressed(id, byTestId(tile, id), async () => {
  await tile.locator('.name a').focus({ timeout: LOOK_MS }); // small tiles show their buttons when the focus is in them
  await pressNow(byTestId(tile, 'tile-menu'));
});

/** Presses `button`, which `open` uncovers where it is hidden. A wall that is laid out anew meanwhile hides it again. */
const pressed = (id, button, open) => until(`${id} is pressed`, async () => {
  if (!(await button.isVisible())) await open();
  return pressNow(button);
});

// Focus and key are one step: a key that is pressed a moment later goes to the element that has the focus then.
const pressNow = (button) => button.evaluate((one) => {
  one.focus();
  if (document.activeElement !== one) return false;
  one.click();
  return true;
}, null, { timeout: LOOK_MS });

export async function openAdd(page) {
  await byTestId(page, 'add-camera').click();
  const form = byTestId(page, 'add-form');
  await byTestId(form, 'url-input').waitFor();
  return form;
}

export async function openImport(page) {
  await byTestId(page, 'menu').click();
  await byTestId(page, 'import-open').click();
  const dialog = byTestId(page, 'import-dialog');
  await dialog.waitFor();
  return dialog;
}

/** Presses Test, waits for its result (`good` or `bad`), and returns the panel's text. */
export async function tryCamera(form, tone) {
  const panel = byTestId(form, 'try-result');
  for (const deadline = Date.now() + PATIENCE_SECONDS * 1000; ;) {
    await byTestId(form, 'try').click();
    await until('the test ends', async () => {
      const seen = await panel.evaluate((one) => ({ hidden: one.hidden, tone: one.dataset.tone }));
      return { ok: !seen.hidden && seen.tone !== 'busy', ...seen };
    });
    const text = await panel.innerText();
    if ((await panel.getAttribute('data-tone')) === tone) return text;
    // The server runs few probes at a time, and other tests use it too.
    must(/try again/i.test(text) && Date.now() < deadline, `the test ended otherwise than ${tone}: ${text}`);
  }
}

/** Waits until a field shows an error, and returns its sentence. */
export async function untilComplains(form, input, fits = () => true) {
  const field = byTestId(form, input);
  await until(`a complaint at ${input}`, async () => {
    const invalid = await field.getAttribute('aria-invalid');
    const text = await byTestId(form, 'error').textContent();
    return { ok: invalid === 'true' && text.trim() !== '' && fits(text), invalid, text };
  });
  const text = await byTestId(form, 'error').textContent();
  must(/^[A-Z].*\s.*[.!?]$/s.test(text.trim()) || text.includes(' '), `no sentence: ${text}`);
  const described = await field.evaluate((one) => document.getElementById(one.getAttribute('aria-describedby'))?.textContent);
  must(described === text, `the field is described by ${described}, not by ${text}`);
  return text;
}

/** Returns the places of the page that hold a text: its markup, and fields other than a password's. */
export const placesOf = (page, text) => page.evaluate((wanted) => {
  const places = document.documentElement.outerHTML.includes(wanted) ? ['markup'] : [];
  if (location.href.includes(wanted)) places.push('address');
  for (const one of document.querySelectorAll('input, textarea, select')) {
    if (one.type !== 'password' && one.value.includes(wanted)) places.push(one.name || one.id);
  }
  for (const storage of [localStorage, sessionStorage]) if (JSON.stringify(storage).includes(wanted)) places.push('storage');
  return places;
}, text);
