// This script checks the page of one camera: its facts, the recent ages of its pictures, a snapshot as a file, every
// address that can be copied, the actions of an operator, a camera that does not exist, and the way back.
//
//   node camera-page.mjs --base http://127.0.0.1:8080 --camera rtsp://127.0.0.1:8554/cam1

import { readFile } from 'node:fs/promises';
import { byTestId, inBrowser, must, mustBeQuiet, openPage, register, status, step, tileOf, unregister,
  untilTiles } from './cameras.mjs';
import { PATIENCE_SECONDS, options, until, untilMoves } from './chromium.mjs';

const { base, camera } = options(['base', 'camera'], ['base', 'camera']);
const NAME = 'Yard / "north" <1>';
const isJpeg = (bytes) => bytes[0] === 0xff && bytes[1] === 0xd8 && bytes.at(-2) === 0xff && bytes.at(-1) === 0xd9;

const factsOf = (own) => byTestId(own, 'facts').evaluate((list) => Object.fromEntries(
  [...list.children].map((line) => [line.querySelector('dt').textContent, line.querySelector('dd').textContent]),
));

async function pictures(own) {
  step('both pictures move');
  await byTestId(own, 'camera-mode-both').check({ force: true });
  await untilMoves('the JPEG canvas', byTestId(own, 'camera-jpeg'));
  await untilMoves('the HLS video', byTestId(own, 'camera-hls'));
  step('one of them alone');
  await byTestId(own, 'camera-mode-jpeg').check({ force: true });
  must(await byTestId(own, 'camera-hls').isHidden(), 'HLS is still there');
  await byTestId(own, 'camera-mode-hls').check({ force: true });
  must(await byTestId(own, 'camera-jpeg').isHidden(), 'JPEG is still there');
  await byTestId(own, 'camera-mode-both').check({ force: true });
}

async function facts(own) {
  step('the facts');
  await until('the facts are complete', async () => {
    const seen = await factsOf(own);
    const fits = {
      'State since': /\d.*for \d/, Camera: /^rtsp:\/\//, Codec: /^H\.264$/, Size: /^640 × 480$/, Audio: /^AAC, 16 kHz, mono$/,
      Viewers: /^\d+ JPEG, \d+ HLS$/, Worker: /./, Zone: /^default$/, Epoch: /^\d+$/, Restarts: /^\d+$/, 'Always on': /^no$/,
    };
    const missing = Object.keys(fits).filter((term) => !fits[term].test(seen[term] ?? ''));
    return { ok: missing.length === 0, missing, seen };
  });
  must((await byTestId(own, 'camera-state').getAttribute('data-state')) === 'running', 'the state');
  step('the line of ages gets points, and says them');
  await until('the line has points', async () => {
    const seen = await own.locator('.spark').evaluate((one) => ({
      line: one.querySelector('.spark-line')?.getAttribute('d') ?? '',
      label: one.querySelector('[aria-label]')?.getAttribute('aria-label') ?? one.getAttribute('aria-label') ?? '',
    }));
    const points = seen.line.match(/[ML]/g)?.length ?? 0;
    return { ok: points >= 3 && /now \d+\.\d s, at most/.test(seen.label), points, ...seen };
  });
  must(/^\d+\.\d s$/.test((await own.locator('[data-part="now"]').textContent()).trim()), 'the age in figures');
}

async function snapshot(page, own) {
  step('a snapshot is a file with a name that every system takes');
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    byTestId(own, 'snapshot-download').click(),
  ]);
  const name = download.suggestedFilename();
  must(/^Yard-north-1-\d{4}-\d\d-\d\d-\d{6}\.jpg$/.test(name), name);
  const bytes = await readFile(await download.path());
  must(bytes.length > 1000 && isJpeg(bytes), `${bytes.length} bytes that begin with ${bytes.subarray(0, 4).toString('hex')}`);
  await until('it is said', async () => /saved/.test(await own.locator('[data-part="status"]').textContent()));
}

// --- addresses for other programs ---

async function get(address, what) {
  const response = await fetch(address, { signal: AbortSignal.timeout(PATIENCE_SECONDS * 1000) });
  must(response.ok, `${what}: ${address} answered ${response.status}`);
  return response;
}

const USES = {
  'This page': async (address, page) => {
    must(new URL(address).hash.startsWith('#/camera/'), address);
    must(/text\/html/.test((await get(address, 'page')).headers.get('content-type')), address);
    await page.goto('about:blank');
    await page.goto(address);
    await page.getByRole('heading', { name: NAME, exact: true }).waitFor();
  },
  'Snapshot (JPEG)': async (address) => {
    const response = await get(address, 'snapshot');
    must(response.headers.get('content-type') === 'image/jpeg' && isJpeg(new Uint8Array(await response.arrayBuffer())), address);
  },
  MJPEG: async (address) => {
    const response = await get(address, 'MJPEG');
    must(/^multipart\/x-mixed-replace/.test(response.headers.get('content-type')), response.headers.get('content-type'));
    const reader = response.body.getReader();
    let heard = '';
    while (!/image\/jpeg/i.test(heard)) {
      const { done, value } = await reader.read();
      must(!done, `MJPEG ended after ${heard.length} bytes`);
      heard += Buffer.from(value).toString('latin1');
    }
    await reader.cancel();
  },
  'HLS playlist': async (address) => {
    await until('the address gives a playlist', async () => {
      const response = await fetch(address);
      const text = await response.text();
      return { ok: response.ok && text.startsWith('#EXTM3U'), status: response.status, text: text.slice(0, 80) };
    });
  },
  'JPEG over WebSocket': async (address, page) => {
    const first = await page.evaluate((url) => new Promise((resolve) => {
      const socket = new WebSocket(url);
      socket.binaryType = 'arraybuffer';
      socket.onmessage = ({ data }) => {
        resolve(data instanceof ArrayBuffer ? [...new Uint8Array(data).slice(0, 2), ...new Uint8Array(data).slice(-2)] : String(data));
        socket.close();
      };
      socket.onclose = ({ code }) => resolve(`closed: ${code}`);
    }), address);
    must(Array.isArray(first) && isJpeg(Uint8Array.from(first)), `the first message: ${first}`);
  },
};

async function addresses(page, own) {
  step('every address that can be copied works');
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: new URL(base).origin });
  const rows = await byTestId(own, 'address-row').evaluateAll((all) => all.map((row) => ({
    label: row.querySelector('label span').textContent,
    text: row.querySelector('input, textarea').value,
    lines: Boolean(row.querySelector('textarea')),
  })));
  const single = rows.filter(({ lines }) => !lines);
  must(single.map(({ label }) => label).sort().join() === Object.keys(USES).sort().join(), JSON.stringify(single));
  for (const [at, { label, text }] of rows.entries()) {
    const button = byTestId(own, 'copy').nth(at);
    await button.click();
    await until(`${label} is copied`, async () => {
      const copied = await page.evaluate(() => navigator.clipboard.readText());
      return { ok: copied === text, copied };
    });
  }
  for (const { label, text } of single) {
    step(`  ${label}: ${text}`);
    await USES[label](text, page);
  }
  step('the pieces of HTML hold the name as text');
  for (const { text } of rows.filter(({ lines }) => lines)) {
    const alt = await page.evaluate((html) => new DOMParser().parseFromString(html, 'text/html').querySelector('img')?.alt ?? null, text);
    must(alt === null || alt === NAME, `${alt} in ${text}`);
    for (const [address] of text.matchAll(new RegExp(`${new URL(base).origin}[^"']+`, 'g'))) {
      const response = await get(address, 'a piece of HTML');
      await response.body.cancel();
    }
  }
}

async function operate(page, own, slug) {
  step('stop and start, edit');
  const startStop = byTestId(own, 'camera-start-stop');
  const untilState = (state) => until(`the page says ${state}`, async () => {
    const seen = await byTestId(own, 'camera-state').getAttribute('data-state');
    return { ok: seen === state, seen };
  });
  await startStop.click();
  await untilState('stopped');
  must((await startStop.innerText()) === 'Start', await startStop.innerText());
  must((await status(base, slug)).state === 'stopped', 'the server does not know');
  must(/Start/.test(await own.locator('.cp-veil').first().innerText()), 'the picture says what to do');
  await startStop.click();
  await untilState('running');
  await untilMoves('the JPEG canvas', byTestId(own, 'camera-jpeg'));
  await byTestId(own, 'camera-edit').click();
  const form = byTestId(page, 'edit-form');
  await byTestId(form, 'name-input').fill('Another name');
  await byTestId(form, 'edit-submit').click();
  await page.getByRole('heading', { name: 'Another name', exact: true }).waitFor();
}

async function waysBack(page, own, slug) {
  step('back to the wall, with the focus where it was');
  const focused = () => page.evaluate(() => document.activeElement?.closest('[data-slug]')?.dataset.slug);
  await byTestId(own, 'camera-back').click();
  await until('the tile has the focus', async () => {
    const seen = await focused();
    return { ok: seen === slug, seen };
  });
  step('in by the keyboard, and back by the browser');
  await page.keyboard.press('Enter');
  await own.waitFor();
  await until('the name has the focus', () => own.locator('.cp-name').evaluate((one) => one === document.activeElement));
  await page.goBack();
  await until('the tile has the focus', async () => {
    const seen = await focused();
    return { ok: seen === slug, seen };
  });
  step('removed from its page, and taken back on the wall');
  await page.keyboard.press('Enter');
  await byTestId(own, 'camera-remove').click();
  await own.waitFor({ state: 'detached' });
  await untilTiles(page, slug, 0);
  await byTestId(page, 'undo').click();
  await untilTiles(page, slug, 1);
}

async function gone(page, slug) {
  step('removed by another viewer while its page is open');
  await openPage(page, base, `#/camera/${slug}`);
  await byTestId(page, 'camera-page').waitFor();
  await unregister(base, slug);
  const note = byTestId(page, 'camera-gone');
  await note.waitFor();
  must(/removed/.test(await note.innerText()), await note.innerText());
  step('a camera that there never was says so');
  await openPage(page, base, '#/camera/no-such-camera');
  await note.waitFor();
  must(/no such camera/.test(await note.innerText()), await note.innerText());
  await note.getByRole('link').click();
  await byTestId(page, 'empty').waitFor();
}

await inBrowser('a camera has a page with all that is known of it', { base }, async ({ page, complaints }) => {
  const { slug } = await register(base, { url: camera, name: NAME });
  await openPage(page, base);
  await untilTiles(page, slug, 1);
  await tileOf(page, slug).getByRole('link', { name: NAME, exact: true }).click();
  const own = byTestId(page, 'camera-page');
  await own.waitFor();
  await pictures(own);
  await facts(own);
  await snapshot(page, own);
  await addresses(page, own);
  await operate(page, own, slug);
  await waysBack(page, own, slug);
  await gone(page, slug);
  mustBeQuiet(complaints, [
    new RegExp(` (404|409|503) .*/video/(${slug}|no-such-camera|play)/`), // stopped, gone, or about to play
    /WebSocket.*(closed before|failed)/,
    /about:blank/,
  ]);
});
