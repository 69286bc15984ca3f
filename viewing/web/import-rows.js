// Knows how the lines of an imported list are shown: the first of them as table rows, the rest as a number.

import { cameraRoute } from './camera-sharing.js';
import { sentence } from './words.js';

const MOST_ROWS = 200; // a table of 5000 rows helps nobody

export const lineWord = (count) => (count === 1 ? 'line' : 'lines');

/** Puts `rows` of the server's answer into `body`, and into `more` how many there are besides; `done`: they are saved. */
export function listRows(body, more, rows, what, { done = false } = {}) {
  body.replaceChildren(...rows.slice(0, MOST_ROWS).map((row) => tableRow(row, done)));
  body.closest('table').hidden = rows.length === 0;
  more.hidden = rows.length <= MOST_ROWS;
  more.textContent = `The first ${MOST_ROWS} of ${rows.length} ${what}.`;
}

function tableRow({ line, ok, name, url, slug, error, warning }, done) {
  const row = document.createElement('tr');
  row.dataset.testid = 'import-row';
  row.dataset.tone = ok ? (warning ? 'warn' : 'good') : 'bad';
  const head = document.createElement('th');
  head.scope = 'row';
  head.textContent = line;
  row.append(head, nameCell(name, done && ok ? slug : null), cell(url || '', 'import-url'), verdict({ ok, error, warning }, done));
  return row;
}

function nameCell(name, slug) {
  const one = cell(slug ? '' : name || '–', 'import-name');
  if (!slug) return one;
  const link = document.createElement('a');
  link.href = cameraRoute(slug);
  link.textContent = name || slug;
  link.addEventListener('click', () => link.closest('dialog').close());
  one.append(link);
  return one;
}

function verdict({ ok, error, warning }, done) {
  const one = cell('', 'import-said');
  const mark = document.createElement('b');
  mark.textContent = ok ? (warning ? 'Warning' : done ? 'Added' : 'Good') : done ? 'Left out' : fieldName(error?.field);
  one.append(mark);
  const said = ok ? warning : done && error?.field ? `${fieldName(error.field)}: ${error.text}` : error?.text;
  if (said) one.append(`: ${sentence(said)}`);
  return one;
}

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
const fieldName = (field) => FIELDS[field] ?? (field ? String(field) : 'Line');

function cell(text, className) {
  const one = document.createElement('td');
  one.className = className;
  one.textContent = text;
  return one;
}
