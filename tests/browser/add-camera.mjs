// This script adds cameras and probes them before they are saved: a good address shows picture and facts, a wrong one and a
// refused login show an error at their field, and a login pasted with the address is nowhere on the page afterwards.
//
//   node add-camera.mjs --base http://127.0.0.1:8080 --camera rtsp://127.0.0.1:8554/cam1
//     --locked rtsp://127.0.0.1:8555/cam1 --password SECRET   (the user is admin)

import { byTestId, deadPort, inBrowser, must, mustBeQuiet, named, openAdd, openPage, placesOf, status, step, tileOf,
  tryCamera, untilComplains, untilTiles, untilWorkersLook } from './cameras.mjs';
import { options, until } from './chromium.mjs';

const { base, camera, locked, password } = options(['base', 'camera', 'locked', 'password'], ['base', 'camera', 'locked', 'password']);

/** Submits the form and returns the camera that appears. */
async function save(page, form, name) {
  await byTestId(form, 'name-input').fill(name);
  await byTestId(form, 'add-submit').click();
  const saved = await until(`${name} is listed`, () => named(base, name));
  await untilTiles(page, saved.slug, 1);
  await until('the dialog is closed and the form empty', async () => {
    const left = await byTestId(form, 'url-input').inputValue();
    const open = await byTestId(page, 'add-dialog').evaluate((one) => one.open);
    return { ok: left === '' && !open, left, open };
  });
  return saved;
}

await inBrowser('a camera is probed before it is added', { base }, async ({ page, complaints }) => {
  await untilWorkersLook(base, camera);
  await openPage(page, base);

  step('a good address shows its picture and what it is');
  let form = await openAdd(page);
  await byTestId(form, 'url-input').fill(camera);
  const said = await tryCamera(form, 'good');
  must(/H\.264/.test(said) && /640 × 480/.test(said), `codec and size: ${said}`);
  const picture = byTestId(form, 'try-picture');
  await until('the picture is there', async () => {
    const seen = await picture.evaluate((one) => ({ width: one.naturalWidth, height: one.naturalHeight, alt: one.alt, hidden: one.hidden }));
    return { ok: seen.width > 100 && seen.height > 100 && seen.alt && !seen.hidden, ...seen };
  });
  step('a change of the address removes the result');
  await byTestId(form, 'url-input').press('End');
  await byTestId(form, 'url-input').pressSequentially('x');
  must(await byTestId(form, 'try-result').isHidden(), 'the picture of another address is still there');
  await byTestId(form, 'url-input').fill(camera);
  step('saved, the camera is on the wall and the form is empty');
  await save(page, form, 'Looked at');

  step('a wrong address says why in a sentence, at the address');
  form = await openAdd(page);
  must(await byTestId(form, 'try-result').isHidden(), 'the last camera is still shown');
  await byTestId(form, 'url-input').fill(`rtsp://127.0.0.1:${await deadPort()}/stream1`);
  const refused = await tryCamera(form, 'bad');
  must(/refused|no answer/i.test(refused) && /nothing was saved/i.test(refused), refused);
  await untilComplains(form, 'url-input');
  must(await picture.isHidden(), 'a picture of nothing');
  step('it can be saved all the same');
  must(await byTestId(form, 'add-submit').isEnabled(), 'it cannot be saved');
  const dead = await save(page, form, 'Not there yet');
  must(/^rtsp:/.test(dead.url), dead.url);

  step('text that is no address is refused at its field, without a probe');
  form = await openAdd(page);
  await byTestId(form, 'url-input').fill('http://127.0.0.1/x');
  await byTestId(form, 'try').click();
  await untilComplains(form, 'url-input');
  must(await byTestId(form, 'try-result').isHidden(), 'a panel without a probe');

  step('a refused login is a complaint at the user name');
  await byTestId(form, 'url-input').fill(locked);
  await byTestId(form, 'username-input').fill('admin');
  await byTestId(form, 'password-input').fill('not-the-password');
  must(/login refused/i.test(await tryCamera(form, 'bad')), 'what it is called');
  await untilComplains(form, 'username-input');
  step('typing at the login takes the complaint away');
  await byTestId(form, 'password-input').fill('');
  must((await byTestId(form, 'username-input').getAttribute('aria-invalid')) === null, 'the complaint stays');

  step('a login pasted with the address moves into its own fields');
  for (const id of ['url-input', 'username-input', 'password-input']) await byTestId(form, id).fill('');
  const url = byTestId(form, 'url-input');
  await url.evaluate((input, text) => {
    input.focus();
    input.setRangeText(text, 0, input.value.length, 'end');
    input.dispatchEvent(new InputEvent('input', { bubbles: true, inputType: 'insertFromPaste' }));
  }, locked.replace('://', `://admin:${encodeURIComponent(password)}@`));
  await until('the login is in its fields', async () => {
    const [address, user] = [await url.inputValue(), await byTestId(form, 'username-input').inputValue()];
    const right = (await byTestId(form, 'password-input').inputValue()) === password;
    return { ok: address === locked && user === 'admin' && right, address, user, right };
  });
  must(/moved/.test(await byTestId(form, 'moved').innerText()), 'nothing says that it moved');
  const nowhere = async () => {
    for (const secret of [password, encodeURIComponent(password)]) {
      const places = await placesOf(page, secret);
      must(places.length === 0, `the password is on the page: ${places}`);
    }
  };
  await nowhere();
  must((await byTestId(form, 'password-input').getAttribute('type')) === 'password', 'the password can be read');
  step('typed and submitted at once, too');
  await url.fill('');
  await url.pressSequentially(locked.replace('://', `://admin:${encodeURIComponent(password)}@`));
  await url.press('Tab');
  must((await url.inputValue()) === locked, await url.inputValue());
  await tryCamera(form, 'good');
  await nowhere();
  const kept = await save(page, form, 'With login');
  must(kept.username === undefined || kept.username === 'admin', kept.username);
  must(!JSON.stringify(kept).includes(password), 'the server gives the password away');
  await until('it runs with this login', async () => {
    const { state } = await status(base, kept.slug);
    return { ok: state === 'running', state };
  });
  await tileOf(page, kept.slug).waitFor();
  await nowhere();

  step('a test that is stopped says so, and one under way ends with the dialog');
  form = await openAdd(page);
  await page.route('**/video/test', () => {}); // The request is never answered.
  await byTestId(form, 'url-input').fill(camera);
  await byTestId(form, 'try').click();
  await until('it waits', async () => (await byTestId(form, 'try-result').getAttribute('aria-busy')) === 'true');
  await byTestId(form, 'try').click();
  must(await byTestId(form, 'try-result').isHidden(), 'a stopped test still waits');
  must(/stopped/.test(await form.locator('.probe-status').textContent()), 'nothing says that it was stopped');
  await byTestId(form, 'try').click();
  const ended = page.waitForEvent('requestfailed', { predicate: (one) => one.url().endsWith('/video/test') });
  await page.keyboard.press('Escape');
  await ended;
  await page.unroute('**/video/test');

  mustBeQuiet(complaints, [/ 422 .*\/video\/test\)$/, / (429|503) .*\/video\/test\)$/]);
});
