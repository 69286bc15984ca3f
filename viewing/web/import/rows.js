// This module shows the lines of an imported list: the first of them as table rows, the rest as a number.

import { create } from '../lib/dom.js';
import { cameraRoute } from '../lib/routes.js';
import { sentence } from '../lib/text.js';

/** @import { ImportRow } from '../lib/api-types.js' */

const MOST_ROWS = 200; // A table of 5000 rows is of no use.

/**
 * Fills `body` with rows, and `more` with how many lines there are in all.
 * @param {HTMLElement} body
 * @param {HTMLElement} more
 * @param {ImportRow[]} rows
 * @param {string} noun of the lines, in the plural
 * @param {{ done?: boolean }} [options] `done`: the good lines are saved
 */
export function listRows(body, more, rows, noun, { done = false } = {}) {
  body.replaceChildren(...rows.slice(0, MOST_ROWS).map((row) => tableRow(row, done)));
  const table = body.closest('table');
  if (table) table.hidden = rows.length === 0;
  more.hidden = rows.length <= MOST_ROWS;
  more.textContent = `The first ${MOST_ROWS} of ${rows.length} ${noun}.`;
}

/**
 * @param {ImportRow} line
 * @param {boolean} done
 */
function tableRow(line, done) {
  const row = create('tr');
  row.dataset.testid = 'import-row';
  row.dataset.tone = line.ok ? (line.warning ? 'warn' : 'good') : 'bad';
  const head = create('th', { text: String(line.line) });
  head.scope = 'row';
  const saved = done && line.ok ? line.slug : null;
  const address = create('td', { className: 'import-url', text: line.url ?? '' });
  row.append(head, nameCell(line.name, saved), address, resultCell(line, done));
  return row;
}

/**
 * @param {string | null | undefined} name
 * @param {string | null | undefined} slug of the camera that was saved
 */
function nameCell(name, slug) {
  const cell = create('td', { className: 'import-name', text: slug ? '' : name || '–' });
  if (!slug) return cell;
  const link = create('a', { text: name || slug });
  link.href = cameraRoute(slug);
  link.addEventListener('click', () => link.closest('dialog')?.close());
  cell.append(link);
  return cell;
}

/**
 * @param {ImportRow} line
 * @param {boolean} done
 */
function resultCell(line, done) {
  const { label, text } = lineResult(line, done);
  const cell = create('td', { className: 'import-said' });
  cell.append(create('b', { text: label }));
  if (text) cell.append(`: ${sentence(text)}`);
  return cell;
}

/**
 * Returns the words for the result of a line, before or after saving.
 * @param {Pick<ImportRow, 'ok' | 'error' | 'warning'>} line
 * @param {boolean} done
 * @returns {{ label: string, text: string }}
 */
export function lineResult({ ok, error, warning }, done) {
  if (ok) return { label: warning ? 'Warning' : done ? 'Added' : 'Good', text: warning ?? '' };
  const field = fieldName(error?.field);
  const text = error?.text ?? '';
  if (!done) return { label: field, text };
  return { label: 'Skipped', text: error?.field ? `${field}: ${text}` : text };
}

/** @type {Record<string, string>} */
const FIELDS = {
  url: 'Address',
  name: 'Name',
  username: 'User name',
  password: 'Password',
  zone: 'Zone',
  transport: 'Transport',
  always_on: 'Always on',
  tls_insecure: 'Certificate',
  exclusive: 'Exclusive',
};

/** @param {string | null | undefined} field */
const fieldName = (field) => (field ? FIELDS[field] ?? field : 'Line');
