// This module checks the accessibility of a page with axe-core, run inside the page by the debugger's connection, because
// the page's own policy admits no foreign script. Serious and critical findings fail; cosmetic advice is ignored.
//
//   await accessible(page, 'the wall')                       the whole page as it is now
//   await accessible(page, 'the dialog', '#add-dialog')      one part of it
//
// It also runs alone, for work on the page:
//
//   node axe.mjs --base http://127.0.0.1:8080

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { options, until, withPage } from './chromium.mjs';

const SOURCE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const COUNTS = ['serious', 'critical'];
const MOST_PLACES = 5; // places named of each finding

let source = null;

/** Returns the serious findings of axe in the page, or in its part at `selector`, one readable text each. */
export async function findings(page, selector) {
  source ??= await readFile(SOURCE, 'utf8');
  if (!(await page.evaluate(() => typeof globalThis.axe === 'object'))) await page.evaluate(source);
  const violations = await page.evaluate(async (place) => {
    const { axe } = globalThis;
    const found = await axe.run(place ?? document, { resultTypes: ['violations'] });
    return found.violations.map(({ id, impact, help, nodes }) => ({
      id,
      impact,
      help,
      places: nodes.map(({ target, any, all, none }) => ({
        at: target.flat().join(' in '),
        why: [...any, ...all, ...none].map(({ message }) => message),
      })),
    }));
  }, selector ?? null);
  return violations.filter(({ impact }) => COUNTS.includes(impact)).map(describe);
}

function describe({ id, impact, help, places }) {
  const named = places.slice(0, MOST_PLACES).map(({ at, why }) => `    ${at}: ${why.join('; ')}`);
  if (places.length > MOST_PLACES) named.push(`    and ${places.length - MOST_PLACES} more`);
  return [`${impact}: ${help} (${id})`, ...named].join('\n');
}

/** Fails when axe has a serious finding. */
export async function accessible(page, what, selector) {
  const found = await findings(page, selector);
  if (found.length) throw new Error(`${what} keeps people out:\n  ${found.join('\n  ')}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { base, scheme = 'light' } = options(['base', 'scheme'], ['base']);
  try {
    await withPage({ base, colorScheme: scheme }, async (page) => {
      await page.goto(base, { waitUntil: 'load' });
      const link = page.locator('[data-testid="link"]');
      await until('the page has heard from the server', async () => (await link.getAttribute('data-link')) === 'up');
      await accessible(page, `the page at ${base}`);
    });
    console.log('ok');
  } catch (error) {
    console.error(`FAILED: ${error.message}`);
    process.exitCode = 1;
  }
}
