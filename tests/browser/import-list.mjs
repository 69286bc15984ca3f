// This script imports lists of cameras: from a file, pasted, dropped. It checks the preview of each line before anything is
// saved, the cameras that are added, and that a list of the greatest length leaves the page as quick as a short one.
//
//   node import-list.mjs --base http://127.0.0.1:8080 --camera rtsp://127.0.0.1:8554/cam1

import { byTestId, inBrowser, listed, must, mustBeQuiet, named, openImport, openPage, placesOf, register, step,
  untilTiles } from './cameras.mjs';
import { options, until } from './chromium.mjs';

const { base, camera } = options(['base', 'camera'], ['base', 'camera']);
const SECRET = 'hunter2-in-a-list';
const MOST_LINES = 5000;
const MOST_ELEMENTS = 3000; // elements of the whole page, with any list
const csv = (text, name = 'cameras.csv') => ({ name, mimeType: 'text/csv', buffer: Buffer.from(text) });

const rowsOf = (place) => byTestId(place, 'import-row').evaluateAll((rows) => rows.map((row) => ({
  line: row.querySelector('th').textContent,
  tone: row.dataset.tone,
  text: row.innerText.replace(/\s+/g, ' '),
})));
const choose = (dialog, file) => byTestId(dialog, 'import-file').setInputFiles(file);

/** Waits for the server's check of a list with so many good lines. */
const untilChecked = (dialog, good) => until(`${good} good lines`, async () => {
  const text = await byTestId(dialog, 'import-preview').innerText();
  const visible = await byTestId(dialog, 'import-preview').isVisible();
  return { ok: visible && new RegExp(`^${good} good`).test(text), text: text.slice(0, 200) };
});
const untilRefused = (dialog, fits) => until('the list is refused', async () => {
  const text = await byTestId(dialog, 'import-error').innerText();
  return { ok: fits.test(text), text };
});

async function mixed(page) {
  step('a file: the line and the field of what is wrong are named, nothing is saved');
  const dialog = await openImport(page);
  await choose(dialog, csv(`name,url,username,password,zone,transport
Yard,${camera},admin,${SECRET},,
"Gate, back",http://127.0.0.1/x,,,,
Hall,rtsp://127.0.0.1:1/h,,,no such zone,
Door,rtsp://127.0.0.1:1/d,,,,pigeon
Roof,rtsp://127.0.0.1:1/r,,,,tcp
`, 'a list.csv'));
  await untilChecked(dialog, 2);
  must(/a list\.csv/.test(await dialog.innerText()), 'the name of the file');
  let rows = await rowsOf(dialog);
  must(rows.map(({ line }) => line).join() === '3,4,5', `the lines with mistakes come first: ${JSON.stringify(rows)}`);
  for (const [at, field] of [[0, 'Address'], [1, 'Zone'], [2, 'Transport']]) {
    must(rows[at].tone === 'bad' && new RegExp(`${field}: .+\\.`).test(rows[at].text), `line ${rows[at].line}: ${rows[at].text}`);
  }
  await byTestId(dialog, 'import-problems').uncheck();
  rows = await rowsOf(dialog);
  must(rows.length === 5 && rows[0].tone === 'good' && /Yard/.test(rows[0].text), JSON.stringify(rows));
  must(/3 with errors/.test(await byTestId(dialog, 'import-preview').innerText()), 'the number of mistakes');
  must((await listed(base)).length === 1, 'something was saved');
  const places = await placesOf(page, SECRET);
  must(places.length === 0, `a password of the file is on the page: ${places}`);

  step('the good lines only');
  const go = byTestId(dialog, 'import-go');
  must(/good lines only \(2\)/.test(await go.innerText()), await go.innerText());
  await go.click();
  const result = byTestId(dialog, 'import-result');
  await result.waitFor();
  must(/2 cameras were added\.\s+3 lines skipped\./.test(await result.innerText()), await result.innerText());
  rows = await rowsOf(result);
  must(rows.filter(({ text }) => /Added/.test(text)).length === 2, JSON.stringify(rows));
  must(rows.filter(({ text }) => /Skipped/.test(text)).length === 3, JSON.stringify(rows));
  const yard = await named(base, 'Yard');
  must(yard && (await named(base, 'Roof')) && (await listed(base)).length === 3, 'what the server has');
  await untilTiles(page, yard.slug, 1);
  must(!(await placesOf(page, SECRET)).length, 'a password of the file is on the page');

  step('a line of the result leads to its camera');
  await result.getByRole('link', { name: 'Yard' }).click();
  await byTestId(page, 'camera-page').waitFor();
  await dialog.waitFor({ state: 'detached' });
  await byTestId(page, 'camera-back').click();
  return yard;
}

async function pasted(page, yard) {
  step('pasted text without a header line; the same address twice is a warning, and so is one that is there already');
  const dialog = await openImport(page);
  const text = byTestId(dialog, 'import-text');
  await text.fill(`rtsp://127.0.0.1:1/twice,Once\nrtsp://127.0.0.1:1/twice,Again\n${camera},Known\n`);
  await untilChecked(dialog, 3);
  const rows = await rowsOf(dialog);
  must(rows.map(({ tone }) => tone).join() === 'good,warn,warn', JSON.stringify(rows));
  must(/same address as line 1/.test(rows[1].text), rows[1].text);
  must(rows[2].text.includes(yard.slug) || rows[2].text.includes('Yard'), `whose address it is: ${rows[2].text}`);
  must(/2 with warnings/.test(await byTestId(dialog, 'import-preview').innerText()), 'the number of warnings');
  step('what is typed anew is checked anew');
  await text.fill('nonsense');
  must(await byTestId(dialog, 'import-go').isDisabled(), 'the old list can be imported');
  await untilChecked(dialog, 0);
  must(await byTestId(dialog, 'import-go').isDisabled(), 'nothing good can be imported');
  await text.fill('rtsp://127.0.0.1:1/pasted,Pasted\n');
  await untilChecked(dialog, 1);
  await byTestId(dialog, 'import-go').click();
  await byTestId(dialog, 'import-result').waitFor();
  must(/1 camera was added\./.test(await dialog.innerText()), await dialog.innerText());
  must(await named(base, 'Pasted'), 'the server has it not');

  step('and once more, dropped');
  await dialog.getByRole('button', { name: 'Import more' }).click();
  must((await text.inputValue()) === '', 'the old text is still there');
  await drop(page, dialog, 'url;name\n', 'odd.csv');
  await until('something is said about it', async () => (await byTestId(dialog, 'import-go').innerText()) === 'Import');
  await drop(page, dialog, `\uFEFFurl,name\r\nrtsp://127.0.0.1:1/dropped,"Dropped, ""here"""\r\n`, 'dropped.csv');
  await untilChecked(dialog, 1);
  await byTestId(dialog, 'import-go').click();
  await byTestId(dialog, 'import-result').waitFor();
  must(await named(base, 'Dropped, "here"'), 'the server has it not');
  await dialog.getByRole('button', { name: 'Done' }).click();
  await dialog.waitFor({ state: 'detached' });
}

async function drop(page, dialog, text, name) {
  const dataTransfer = await page.evaluateHandle(([content, called]) => {
    const data = new DataTransfer();
    data.items.add(new File([content], called, { type: 'text/csv' }));
    return data;
  }, [text, name]);
  await dialog.dispatchEvent('drop', { dataTransfer });
}

async function long(page) {
  step(`${MOST_LINES} lines: all are judged, the page stays small`);
  const dialog = await openImport(page);
  const line = (at) => (at % 10 ? `rtsp://127.0.0.1:1/many/${at},Camera ${at}` : `ftp://127.0.0.1/${at},Bad ${at}`);
  await choose(dialog, csv(Array.from({ length: MOST_LINES }, (_, at) => line(at)).join('\n')));
  await untilChecked(dialog, MOST_LINES * 0.9);
  const bounded = async () => {
    const seen = await page.evaluate(() => ({
      rows: document.querySelectorAll('[data-testid="import-row"]').length,
      elements: document.querySelectorAll('*').length,
    }));
    must(seen.rows === 200 && seen.elements < MOST_ELEMENTS, JSON.stringify(seen));
  };
  await bounded();
  must(/The first 200 of 500 lines/.test(await dialog.innerText()), 'how many there are besides');
  await byTestId(dialog, 'import-problems').uncheck();
  await bounded();
  must(/The first 200 of 5000 lines/.test(await dialog.innerText()), 'how many there are besides');
  step('one line more is refused with a sentence');
  await choose(dialog, csv(Array.from({ length: MOST_LINES + 1 }, (_, at) => `rtsp://127.0.0.1:1/${at}`).join('\n')));
  await untilRefused(dialog, /5000/);
  must(await byTestId(dialog, 'import-go').isDisabled(), 'it can be imported');
  step('as is a file that is too large, and one without a camera');
  await choose(dialog, csv('x'.repeat(1024 * 1024 + 1), 'large.csv'));
  await untilRefused(dialog, /large\.csv.*1 MiB/);
  await choose(dialog, csv('url,name\n', 'empty.csv'));
  await untilRefused(dialog, /no camera/);
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await until('the focus is back on the menu', async () => {
    const focused = await page.evaluate(() => document.activeElement?.dataset.testid);
    return { ok: focused === 'menu', focused };
  });
}

await inBrowser('a list of cameras is checked, then added', { base }, async ({ page, complaints }) => {
  must((await listed(base)).length === 0, 'the server has cameras already');
  await register(base, { url: 'rtsp://127.0.0.1:1/first', name: 'First' });
  await openPage(page, base);
  const yard = await mixed(page);
  await pasted(page, yard);
  await long(page);
  // The script asks for refused lists; most of these addresses do not answer, and Yard's login is not asked for.
  mustBeQuiet(complaints, [/ (413|422) .*\/video\/import\?dry_run=1\)$/, / 503 .*\/video\//, /WebSocket.*(closed before|failed)/]);
});
