// This script edits a camera and probes the change, stops and starts it, and removes it: undone, for good, refused by the
// server, and decided by leaving the page.
//
//   node edit-camera.mjs --base http://127.0.0.1:8080 --locked rtsp://127.0.0.1:8555/cam1 --password SECRET

import { byTestId, inBrowser, listed, must, mustBeQuiet, named, openPage, placesOf, press, register, status, step, tileOf,
  tryCamera, untilComplains, untilTiles, untilWorkersLook } from './cameras.mjs';
import { options, until } from './chromium.mjs';

const { base, locked, password } = options(['base', 'locked', 'password'], ['base', 'locked', 'password']);

const untilState = (tile, state) => until(`the tile is ${state}`, async () => {
  const seen = await byTestId(tile, 'state').getAttribute('data-state');
  return { ok: seen === state, seen };
});
const untilGone = (slug) => until('the server no longer lists it', async () => {
  const slugs = (await listed(base)).map((one) => one.slug);
  return { ok: !slugs.includes(slug), slugs };
});
const closed = (page) => until('the editor is closed', async () => !(await byTestId(page, 'edit-dialog').evaluate((one) => one.open)));

async function edit(page, slug) {
  await press(page, tileOf(page, slug), 'edit');
  const form = byTestId(page, 'edit-form');
  await byTestId(form, 'url-input').waitFor();
  return form;
}

async function change(page, { slug }) {
  step('the form shows the camera, but not its password');
  let form = await edit(page, slug);
  const address = await byTestId(form, 'url-input').inputValue();
  must(address === locked, `the login has its own fields, the address is ${address}`);
  must((await byTestId(form, 'username-input').inputValue()) === 'admin', 'the user name');
  must((await byTestId(form, 'password-input').inputValue()) === '', 'the password field');
  step('untouched, the stored password is used for the test');
  await tryCamera(form, 'good');
  step('only what was changed is sent');
  await byTestId(form, 'name-input').fill('Renamed');
  const sent = page.waitForRequest((one) => one.method() === 'PATCH');
  await byTestId(form, 'edit-submit').click();
  const body = (await sent).postDataJSON();
  must(JSON.stringify(body) === '{"name":"Renamed"}', JSON.stringify(body));
  await closed(page);
  await page.getByRole('heading', { name: 'Renamed', exact: true }).waitFor();
  await until('it runs with the stored password', async () => (await status(base, slug)).state === 'running');

  step('a wrong password is found out before it is saved');
  form = await edit(page, slug);
  await byTestId(form, 'password-input').fill('not-the-password');
  await tryCamera(form, 'bad');
  await untilComplains(form, 'username-input');
  await form.getByRole('button', { name: 'Cancel' }).click();
  await closed(page);
  form = await edit(page, slug);
  must((await byTestId(form, 'password-input').inputValue()) === '', 'what was cancelled is still there');
  must(await byTestId(form, 'error').isHidden(), 'the old complaint is still there');
  await tryCamera(form, 'good');
  await page.keyboard.press('Escape');
  await closed(page);
  const places = await placesOf(page, password);
  must(places.length === 0, `the password is on the page: ${places}`);

  step('what the server refuses stands at its field, also where it is folded away');
  form = await edit(page, slug);
  await form.locator('details.more > summary').click();
  await byTestId(form, 'zone-input').fill('no zone has blanks');
  await form.locator('details.more > summary').click();
  await byTestId(form, 'edit-submit').click();
  await untilComplains(form, 'zone-input');
  must(await byTestId(form, 'zone-input').isVisible(), 'the field of the complaint is folded away');
  must(await byTestId(form, 'zone-input').evaluate((one) => one === document.activeElement), 'the field of the complaint has no focus');
  await page.keyboard.press('Escape');
  await closed(page);
}

async function stopAndStart(page, { slug }) {
  const tile = tileOf(page, slug);
  step('stop, start');
  await untilState(tile, 'running');
  await press(page, tile, 'start-stop');
  await untilState(tile, 'stopped');
  must((await status(base, slug)).state === 'stopped', 'the server does not know');
  await press(page, tile, 'start-stop');
  await untilState(tile, 'running');
}

async function remove(page, { slug }) {
  const tile = tileOf(page, slug);
  const toast = page.locator(`[data-testid="undo-toast"][data-slug="${slug}"]`);
  const asked = [];
  page.on('request', (one) => one.method() === 'DELETE' && asked.push(one.url()));
  step('removed and taken back, by the button and by its key');
  for (const takeBack of [() => byTestId(toast, 'undo').click(), () => page.keyboard.press('Control+Z')]) {
    await press(page, tile, 'remove');
    await byTestId(toast, 'undo').focus(); // Its time stands still.
    must(/^Removed .*Renamed/.test(await toast.innerText()), await toast.innerText());
    await untilTiles(page, slug, 0);
    await takeBack();
    await untilTiles(page, slug, 1);
    await toast.waitFor({ state: 'detached' });
  }
  must(asked.length === 0, `the server was asked to remove it: ${asked}`);
  must(await named(base, 'Renamed'), 'the server has lost it');

  step('a removal that the server refuses brings the camera back, and says so');
  await page.route(`**/video/${slug}/`, (route) => (route.request().method() === 'DELETE'
    ? route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"error":"the disk is full"}' })
    : route.fallback()));
  await press(page, tile, 'remove');
  await untilTiles(page, slug, 0);
  await away(page);
  const failed = byTestId(page, 'undo-failed');
  await failed.waitFor();
  must(/Renamed.* was not removed.*the disk is full\./s.test(await failed.innerText()), await failed.innerText());
  await untilTiles(page, slug, 1);
  await failed.getByRole('button', { name: 'Close' }).click();
  await page.unroute(`**/video/${slug}/`);

  step('removed for good when the note goes');
  await press(page, tile, 'remove');
  await untilTiles(page, slug, 0);
  await away(page);
  await untilGone(slug);
  await toast.waitFor({ state: 'detached' });
  must((await tile.count()) === 0, 'the tile is back');
}

// A note's time stands still under the pointer.
const away = (page) => page.mouse.move(0, 0);

async function leave(page) {
  step('leaving the page decides');
  const one = await register(base, { url: locked, name: 'Left behind' });
  const two = await register(base, { url: locked, name: 'Left behind, too' });
  for (const { slug } of [one, two]) {
    await untilTiles(page, slug, 1);
    await press(page, tileOf(page, slug), 'remove');
    await untilTiles(page, slug, 0);
  }
  must(await named(base, 'Left behind'), 'it is gone before the page is');
  await page.goto('about:blank');
  for (const { slug } of [one, two]) await untilGone(slug);
}

await inBrowser('a camera is changed, stopped, started and removed', { base }, async ({ page, complaints }) => {
  const camera = await register(base, { url: locked, name: 'Locked', username: 'admin', password });
  await untilWorkersLook(base, locked);
  await openPage(page, base);
  await untilTiles(page, camera.slug, 1);
  await change(page, camera);
  await stopAndStart(page, camera);
  await remove(page, camera);
  await leave(page);
  const own = `\\/video\\/(${camera.slug}|play)\\/`;
  mustBeQuiet(complaints, [
    / 422 .*\/video\/.*\)$/, // The script asks for this error.
    / (429|503) .*\/test\)$/,
    new RegExp(` (404|409|503) .*${own}`), // The camera is stopped, refuses or is gone.
    /WebSocket.*(closed before|failed)/,
    /about:blank/,
  ]);
});
