// This script checks the viewer page of a relay: it shows the cameras, says that it is a relay, and offers no changes.
//
//   node relay.mjs --relay http://127.0.0.1:8081 --api http://127.0.0.1:8080 --camera rtsp://127.0.0.1:8554/cam1
//
// Exit code 0 when all of it worked; else 1, with what was seen last. `--screenshot out.png` keeps a picture of it.

import { options, until, untilMoves, watchAs, withPage } from './chromium.mjs';

const { relay, api, camera, screenshot } = options(['relay', 'api', 'camera', 'screenshot'], ['relay', 'api', 'camera']);

const byTestId = (place, id) => place.locator(`[data-testid="${id}"]`);

async function onlyShows(page, ids) {
  for (const id of ids) {
    const all = byTestId(page, id);
    const visible = await all.evaluateAll((found) => found.filter((one) => one.checkVisibility()).length);
    if (visible > 0) throw new Error(`a relay offers ${id}`);
  }
}

async function lookAround(page, complaints) {
  await page.goto(relay, { waitUntil: 'load' });
  const note = byTestId(page, 'relay');
  if (!(await note.isVisible())) throw new Error('the page does not say that it is a relay');
  await until('the page says that there is no camera', async () => {
    const text = await byTestId(page, 'empty').innerText();
    return { ok: text.trim() === 'No cameras yet', text };
  });
  await onlyShows(page, ['add-camera', 'import', 'add-form', 'add-submit']);

  const answer = await fetch(new URL('/video/', api), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ url: camera, name: 'Yard' }),
  });
  if (answer.status !== 201) throw new Error(`POST /video/ answered ${answer.status}`);
  const { slug } = await answer.json();
  const tile = byTestId(page, `tile-${slug}`);
  await until('the tile appears', async () => (await tile.count()) === 1);
  await watchAs(tile, 'both');
  await untilMoves('the JPEG canvas', byTestId(tile, 'jpeg-canvas'));
  await untilMoves('the HLS video', byTestId(tile, 'hls-video'));
  await onlyShows(page, ['add-camera', 'add-form', 'import', 'start-stop', 'edit', 'remove']);
  if (!(await byTestId(tile, 'snapshot').isVisible())) throw new Error('the snapshot is missing');
  if (screenshot) await page.screenshot({ path: screenshot });

  await page.goto(api, { waitUntil: 'load' });
  await until('the page of the API offers all of it', async () => {
    const shown = await Promise.all(['start-stop', 'edit', 'remove'].map((id) => byTestId(page, id).isVisible()));
    return { ok: shown.every(Boolean) && !(await byTestId(page, 'relay').isVisible()), shown };
  });
  // Its requests to the API go to another origin than the relay's; every other complaint counts.
  const bad = complaints.filter((one) => !one.includes('another origin'));
  if (bad.length) throw new Error(`the browser complained:\n  ${bad.join('\n  ')}`);
}

try {
  await withPage({ base: relay }, lookAround);
  console.log('ok: a relay shows cameras and offers no change');
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
}
