// This script puts hostile text wherever text comes from outside: names, addresses and user names of cameras, messages of
// a camera, cells of a list, addresses of this page, storage of the browser. All views are opened; none of it may run, and
// it must be shown as plain text.
//
//   node hostile-text.mjs --base http://127.0.0.1:8080

import { createServer } from 'node:net';
import { byTestId, inBrowser, listed, must, mustBeQuiet, openAdd, openImport, openPage, press, register, status, step, tileOf,
  unregister, untilTiles } from './cameras.mjs';
import { options, until } from './chromium.mjs';

const { base } = options(['base'], ['base']);

const RUN = 'window.__ran=1';
const NAMES = [
  `<img src=x onerror="${RUN}">`,
  `"><svg onload=${RUN}>`,
  `'><iframe srcdoc="<script>parent.__ran=1</script>">`,
  `</title></script><script>${RUN}</script>`,
  `<a href="javascript:${RUN}" autofocus onfocus="${RUN}">here</a>`,
  `<style>*{display:none}</style><base href=//elsewhere.example>`,
  `javascript:${RUN}`,
  `{{constructor.constructor('${RUN}')()}} \${${RUN}} <%= 7*7 %> #{7*7}`,
  `&lt;b&gt; &amp; &#60;img src=x onerror=${RUN}&#62;`,
  `-->]]><!--<math><mtext><table><mglyph><style><img src=x onerror=${RUN}>`,
  'Donaudampfschifffahrtsgesellschaftskapitaen'.repeat(2).slice(0, 64),
  '\u202Etxet sdrawkcab\u202C \u2066isolated',
  'zero\u200Bwidth\u200D\uFEFF \u0301\u0301\u0301\u0301',
  '😀 🎥 👩‍👩‍👧‍👦 e\u0301 ﷽',
  '__proto__',
];
const USER = `<img src=x onerror=${RUN}>"'`;
const HOSTILE_PATH = `/<img/src=x/onerror=${RUN}>"'><svg/onload=${RUN}>?q=</script><script>${RUN}</script>&javascript:${RUN}`;
const LAYOUTS = ['auto', '1', '4', '9', '16'];
const POLICY = {
  'default-src': "'self'", 'script-src': "'self'", 'style-src': "'self'", 'object-src': "'none'", 'base-uri': "'none'",
  'frame-ancestors': "'none'", 'img-src': "'self' blob: data:", 'media-src': "'self' blob:", 'worker-src': "'self' blob:",
  'connect-src': "'self' ws: wss:",
};

// Cameras that answer with markup wherever RTSP has room for words, each by another way of failing.
const ANSWERS = [
  () => `RTSP/1.0 404 <img src=x onerror=${RUN}>\r\nServer: <svg onload=${RUN}>\r\n`,
  () => `RTSP/1.0 401 <b>no</b>\r\nWWW-Authenticate: Digest realm="<img src=x onerror=${RUN}>", nonce="<script>${RUN}</script>"\r\n`,
  () => `RTSP/1.0 302 Found\r\nLocation: javascript:${RUN}\r\n`,
  () => `RTSP/1.0 302 Found\r\nLocation: rtsp://<img/src=x/onerror=${RUN}>/\r\n`,
  () => `RTSP/1.0 503 \${${RUN}}{{7*7}}\r\n`,
  () => `HTTP/1.1 200 <svg onload=${RUN}>\r\nContent-Type: text/html\r\n`,
];
const DESCRIPTION = ['v=0', `o=- 0 0 IN IP4 <svg/onload=${RUN}>`, `s=<img src=x onerror=${RUN}>`, 't=0 0',
  'm=video 0 RTP/AVP 96', `a=rtpmap:96 <img/src=x/onerror=${RUN}>/90000`, `a=control:javascript:${RUN}`, ''].join('\r\n');

/** `rtsp://…/0` to `/5` give one of the answers each, `/6` a description of a stream that is markup. */
async function hostileCamera() {
  const server = createServer((socket) => {
    let heard = '';
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      heard += bytes.toString('latin1');
      for (let end = heard.indexOf('\r\n\r\n'); end >= 0; end = heard.indexOf('\r\n\r\n')) {
        const request = heard.slice(0, end);
        heard = heard.slice(end + 4);
        const which = Number(/rtsp:\/\/[^/]+\/(\d)/.exec(request)?.[1] ?? 0);
        const sequence = `CSeq: ${/CSeq: *(\d+)/i.exec(request)?.[1] ?? 1}\r\n`;
        if (which < ANSWERS.length) socket.write(`${ANSWERS[which]()}${sequence}Content-Length: 0\r\n\r\n`);
        else if (request.startsWith('OPTIONS')) socket.write(`RTSP/1.0 200 OK\r\n${sequence}Public: DESCRIBE, SETUP, PLAY\r\n\r\n`);
        else {
          const type = `Content-Type: application/sdp\r\nContent-Length: ${DESCRIPTION.length}\r\n\r\n`;
          socket.write(`RTSP/1.0 200 OK\r\n${sequence}${type}${DESCRIPTION}`);
        }
      }
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, at: (which) => `rtsp://127.0.0.1:${server.address().port}/${which}${HOSTILE_PATH}` };
}

// --- forbidden effects ---

async function watchFor(page) {
  const found = [];
  await page.addInitScript(() => {
    globalThis.__violations = [];
    document.addEventListener('securitypolicyviolation', (event) => {
      globalThis.__violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
    });
  });
  page.on('dialog', (dialog) => {
    found.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.context().on('page', (other) => found.push(`another page: ${other.url()}`));
  page.on('framenavigated', (frame) => frame.parentFrame() && found.push(`a frame: ${frame.url()}`));
  return async (where) => {
    const seen = await page.evaluate(() => ({
      ran: globalThis.__ran,
      violations: globalThis.__violations,
      polluted: Object.keys(Object.prototype),
      foreign: [...document.querySelectorAll('script, iframe, object, embed, base, math, [srcdoc], [style*="url"]')]
        .filter((one) => !(one.localName === 'script' && one.src.startsWith(location.origin)))
        .map((one) => one.outerHTML.slice(0, 100)),
      handlers: [...document.querySelectorAll('*')]
        .filter((one) => [...one.attributes].some(({ name, value }) => name.startsWith('on') || /^\s*javascript:/i.test(one.getAttribute('href') ?? '') || (name === 'src' && value === 'x')))
        .map((one) => one.outerHTML.slice(0, 100)),
    }));
    must(seen.ran === undefined, `${where}: a script ran`);
    for (const kind of ['violations', 'polluted', 'foreign', 'handlers']) must(seen[kind].length === 0, `${where}: ${kind}: ${seen[kind]}`);
    must(found.length === 0, `${where}: ${found}`);
  };
}

const toEnds = (text) => text.trim().replace(/\s+/g, ' ');

/** Waits until the element at `selector` shows the text, letter for letter. */
const untilShown = (place, selector, text) => until(`${JSON.stringify(text)} is shown`, async () => {
  const texts = await place.locator(selector).evaluateAll((all) => all.map((one) => one.value ?? one.textContent));
  return { ok: texts.some((one) => toEnds(one).includes(toEnds(text))), texts: texts.slice(0, 3) };
});

async function policy() {
  for (const path of ['/', '/docs']) {
    const { headers } = await fetch(new URL(path, base));
    const given = Object.fromEntries((headers.get('content-security-policy') ?? '').split(';').map((one) => one.trim().split(/\s+(.*)/s, 2)));
    for (const [directive, value] of Object.entries(POLICY)) must(given[directive] === value, `${path}: ${directive} is ${given[directive]}`);
    must(!/unsafe|\*|http:/.test(Object.values(given).join(' ')), `${path}: ${JSON.stringify(given)}`);
    must(headers.get('x-content-type-options') === 'nosniff', `${path}: nosniff`);
  }
  const list = await fetch(new URL('/video/', base));
  must(/^application\/json/.test(list.headers.get('content-type')) && list.headers.get('x-content-type-options') === 'nosniff', 'the list');
}

// --- the views ---

async function wall(page, cameras, clean) {
  const layout = byTestId(page, 'layout');
  for (const one of LAYOUTS) {
    step(`the wall, layout ${one}`);
    await layout.selectOption(one);
    await until('the wall is laid out', () => byTestId(page, 'tile').count());
    const [first] = await byTestId(page, 'tile').all();
    const slug = await first.locator('article').getAttribute('data-slug');
    await untilShown(first, '.name', cameras.find((camera) => camera.slug === slug).name);
    await clean(`layout ${one}`);
  }
  for (const sort of await byTestId(page, 'sort').locator('option').evaluateAll((all) => all.map(({ value }) => value))) {
    await byTestId(page, 'sort').selectOption(sort);
    await clean(`sorted by ${sort}`);
  }
  await layout.selectOption('auto');
  step('search for each name');
  const search = byTestId(page, 'search');
  for (const camera of cameras) {
    await search.fill(camera.name);
    await until(`the search finds ${JSON.stringify(camera.name)}`, async () => {
      const slugs = await page.locator('[data-testid="tile"] article').evaluateAll((all) => all.map((one) => one.dataset.slug));
      return { ok: slugs.includes(camera.slug), slugs };
    });
    await untilShown(tileOf(page, camera.slug), '.name', camera.name);
    await clean(`search for ${camera.name}`);
  }
  await search.fill(`${NAMES[0]} that no camera has`);
  await byTestId(page, 'nothing').waitFor();
  await clean('nothing found');
  await search.fill('');
}

async function eachCamera(page, camera, clean) {
  const { slug, name } = camera;
  await byTestId(page, 'search').fill(name);
  const tile = tileOf(page, slug);
  await untilTiles(page, slug, 1);
  await press(page, tile, 'edit'); // The button is in the menu, where there is one.
  const editor = byTestId(page, 'edit-dialog');
  await untilShown(editor, '[data-testid="name-input"]', name);
  await untilShown(editor, '#edit-title', `Edit ${name}`);
  await untilShown(editor, '[data-testid="username-input"]', camera.username);
  await clean(`the editor of ${name}`);
  await page.keyboard.press('Escape');

  await press(page, tile, 'remove');
  const toast = page.locator(`[data-testid="undo-toast"][data-slug="${slug}"]`);
  await byTestId(toast, 'undo').focus(); // Its time stands still.
  await untilShown(toast, 'p', name);
  await clean(`the note about ${name}`);
  await byTestId(toast, 'undo').click();
  await untilTiles(page, slug, 1);
  await clean(`${name} taken back`);

  await page.goto(new URL(`/#/camera/${slug}`, base).href);
  const own = byTestId(page, 'camera-page');
  await untilShown(own, '.cp-name', name);
  await untilShown(own, 'dd', camera.url);
  const snippets = await own.locator('textarea').evaluateAll((all) => all.map((one) => {
    const parsed = new DOMParser().parseFromString(one.value, 'text/html');
    return { text: one.value, alt: parsed.querySelector('img')?.alt, elements: parsed.body.querySelectorAll('*').length };
  }));
  must(snippets.length === 2, `snippets of ${name}: ${snippets.length}`);
  must(snippets[0].elements === 1 && snippets[0].alt === name, `the picture's snippet: ${snippets[0].text}`);
  must(snippets[1].elements === 3 && !snippets[1].text.includes(name), `the video's snippet: ${snippets[1].text}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  must(wide <= 0, `${name} makes the page ${wide} px too wide`);
  await clean(`the page of ${name}`);
  await byTestId(page, 'camera-back').click();
  await byTestId(page, 'search').waitFor();
}

async function reasons(page, cameras, clean) {
  step('what hostile cameras answer is the reason, as text');
  await page.goto(new URL('/#/', base).href);
  for (const camera of cameras) {
    // The page of a camera watches it, so the server connects to it.
    await page.goto(new URL(`/#/camera/${camera.slug}`, base).href);
    let reason = '';
    await until(`${camera.slug} has a reason`, async () => {
      const seen = await status(base, camera.slug);
      reason = String(seen.reason?.text ?? seen.reason ?? '');
      return { ok: reason !== '', ...seen };
    });
    const shown = byTestId(page, 'camera-reason');
    await until('the page says why', async () => {
      const text = await shown.textContent();
      return { ok: text.length > 0, text };
    });
    await clean(`the reason ${reason}`);
    step(`  ${reason}`);
  }
  await page.goto(new URL('/#/', base).href);
  await untilTiles(page, cameras[0].slug, 1);
  await clean('the wall with reasons');
}

async function looks(page, hostile, clean) {
  step('tests of hostile cameras');
  const form = await openAdd(page);
  for (let which = 0; which <= ANSWERS.length; which += 1) {
    await byTestId(form, 'url-input').fill(hostile.at(which));
    await byTestId(form, 'name-input').fill(NAMES[which]);
    await byTestId(form, 'try').click();
    const panel = byTestId(form, 'try-result');
    await until(`the test of ${which} ends`, async () => {
      const seen = await panel.evaluate((one) => ({ hidden: one.hidden, tone: one.dataset.tone, text: one.innerText }));
      return { ok: !seen.hidden && seen.tone === 'bad', ...seen };
    });
    await clean(`the test of hostile camera ${which}`);
  }
  step('a pasted address of markup, and a complaint about it');
  await byTestId(form, 'url-input').fill(`rtsp://${USER}:x@127.0.0.1/${NAMES[0]}`);
  await byTestId(form, 'url-input').press('Tab');
  await byTestId(form, 'zone-input').evaluate((one, text) => { one.value = text; }, NAMES[1]);
  await byTestId(form, 'add-submit').click();
  await until('a complaint', async () => (await byTestId(form, 'error').textContent()) !== '');
  await clean('the complaint');
  await page.keyboard.press('Escape');
}

async function list(page, clean) {
  step('a list of markup');
  const dialog = await openImport(page);
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const lines = NAMES.map((name, at) => [`rtsp://127.0.0.1:1/${at % 3 ? '' : ' '}${HOSTILE_PATH}${at}`, name, USER, at % 2 ? '' : NAMES[1], at % 5 ? '' : NAMES[0]]);
  const csv = `url,name,username,zone,transport\n${lines.map((line) => line.map(quoted).join(',')).join('\n')}`;
  await byTestId(dialog, 'import-file').setInputFiles({ name: `${NAMES[0].replace(/[/"]/g, '')}.csv`, mimeType: 'text/csv', buffer: Buffer.from(csv) });
  await byTestId(dialog, 'import-preview').waitFor();
  await byTestId(dialog, 'import-problems').uncheck();
  for (const name of NAMES) await untilShown(dialog, '.import-name', name);
  await untilShown(dialog, '[data-part="file-name"]', '<img src=x');
  await clean('the preview of a list');
  await byTestId(dialog, 'import-go').click();
  await byTestId(dialog, 'import-result').waitFor();
  await clean('the result of a list');
  step('a list whose columns are markup');
  await dialog.getByRole('button', { name: 'Import more' }).click();
  await byTestId(dialog, 'import-text').fill(`url,${quoted(NAMES[0])}\nrtsp://127.0.0.1:1/x,1\n`);
  await until('something is said', async () => {
    const text = await dialog.innerText();
    return { ok: /good|column|header/i.test(await byTestId(dialog, 'import-error').innerText()) || await byTestId(dialog, 'import-preview').isVisible(), text };
  });
  await clean('a list whose columns are markup');
  await page.keyboard.press('Escape');
}

async function elsewhere(page, clean) {
  step('hostile addresses of this page, and memories');
  for (const route of [`#/camera/${encodeURIComponent(NAMES[0])}`, `#/camera/${NAMES[1]}`, '#/camera/%E0%A4%A', '#/camera/..%2f..%2fdocs',
    '#/camera/__proto__', `#javascript:${RUN}`, `?x=${NAMES[0]}#${NAMES[0]}`]) {
    await openPage(page, base, route);
    if (route.startsWith('#/camera')) await byTestId(page, 'camera-gone').waitFor();
    await clean(`the address ${route}`);
  }
  await page.evaluate((names) => {
    const value = Object.fromEntries(names.map((name) => [name, name]));
    for (const key of ['rsm.watch', 'rsm.quality']) localStorage.setItem(key, JSON.stringify(value));
    localStorage.setItem('rsm.wall', JSON.stringify({ layout: names[0], sort: names[1], turn: names[2], order: names }));
  }, NAMES);
  await openPage(page, base);
  await untilTiles(page, (await listed(base))[0].slug, 1);
  await clean('hostile memories');
  step('help and the API documentation');
  await byTestId(page, 'menu').click();
  await byTestId(page, 'help').click();
  await byTestId(page, 'help-dialog').waitFor();
  await clean('the help');
  await page.goto(new URL('/docs', base).href, { waitUntil: 'load' });
  await page.locator('#swagger-ui .info').waitFor();
  const ran = await page.evaluate(() => [globalThis.__ran, globalThis.__violations.length]);
  must(ran[0] === undefined, '/docs: a script ran');
  return ran[1];
}

await inBrowser('text that means harm is text', { base }, async ({ page, complaints }) => {
  await policy();
  const hostile = await hostileCamera();
  try {
    const clean = await watchFor(page);
    await openPage(page, base); // The page is open while the cameras are added: they arrive as events too, not only in the list.
    const cameras = [];
    for (const [at, name] of NAMES.entries()) {
      const { slug } = await register(base, { url: hostile.at(at % (ANSWERS.length + 1)), name, username: USER });
      cameras.push((await listed(base)).find((one) => one.slug === slug));
    }
    await until('all are on the wall', async () => (await byTestId(page, 'tile').count()) > 0);
    for (const [at, { name }] of cameras.entries()) must(toEnds(name) === toEnds(NAMES[at]), `${NAMES[at]} became ${name}`);
    await wall(page, cameras, clean);
    step('menu, editor, note, own page of each');
    for (const camera of cameras) await eachCamera(page, camera, clean);
    await byTestId(page, 'search').fill('');
    await reasons(page, cameras.slice(0, ANSWERS.length + 1), clean);
    await looks(page, hostile, clean);
    await list(page, clean);
    await unregister(base, cameras[0].slug);
    await untilTiles(page, cameras[0].slug, 0);
    await clean('a camera that another viewer removed');
    const violations = await elsewhere(page, clean);
    must(violations === 0, `/docs breaks the policy ${violations} times`);
    mustBeQuiet(complaints, [/ (401|404|409|422|429|502|503|504) .*\/video\//, /WebSocket.*(closed before|failed)/]);
  } finally {
    hostile.server.close();
  }
});
