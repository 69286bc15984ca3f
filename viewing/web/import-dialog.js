// Knows the dialog that takes a list of cameras: a CSV file or pasted text, what the server makes of each line before
// anything is saved, and what was added.

import { importCameras } from './api.js';
import { importDialogParts } from './import-dialog-parts.js';
import { listRows, lineWord } from './import-rows.js';
import { sentence } from './words.js';

const MOST_BYTES = 1024 * 1024; // as the server
const TYPING_MS = 600;
const TEMPLATE = `url,name,username,password,zone,transport,always_on
rtsp://192.168.1.20:554/stream1,Front door,admin,secret,,auto,false
rtsps://192.168.1.21:322/live/main,Yard,,,,tcp,true
`;

/** Opens the dialog; `onDone(result)` is called each time cameras were added. */
export function openImport({ onDone = () => {} } = {}) {
  return new ImportDialog(onDone);
}

class ImportDialog {
  #dialog;
  #onDone;
  #csv = '';
  #preview = null; // what the server made of #csv
  #asking = null; // AbortController of the check under way
  #importing = false;
  #typing = null;

  constructor(onDone) {
    this.#onDone = onDone;
    this.#dialog = importDialogParts();
    const dialog = this.#dialog;
    this.#wireSources();
    this.#part('template').addEventListener('click', () => saveText(TEMPLATE, 'cameras.csv'));
    this.#part('problems').addEventListener('change', () => this.#showRows());
    this.#testid('import-go').addEventListener('click', () => this.#import());
    this.#part('again').addEventListener('click', () => this.#startOver());
    this.#part('close').addEventListener('click', () => this.#close());
    dialog.addEventListener('cancel', (event) => {
      if (this.#importing) event.preventDefault(); // the answer says what was saved
    });
    const opener = document.activeElement;
    dialog.addEventListener('close', () => {
      clearTimeout(this.#typing);
      this.#asking?.abort();
      dialog.remove();
      if (!opener?.checkVisibility?.()) menuButton(opener)?.focus(); // the menu it stands in has closed
    });
    document.body.append(dialog);
    dialog.showModal();
    this.#testid('import-file').focus();
  }

  // --- where the text comes from ---

  #wireSources() {
    const file = this.#testid('import-file');
    const text = this.#testid('import-text');
    const drop = this.#part('drop');
    file.addEventListener('change', () => {
      if (file.files[0]) this.#takeFile(file.files[0]);
      file.value = ''; // the same file again, once it is mended, is a change
    });
    text.addEventListener('input', () => {
      this.#forget();
      clearTimeout(this.#typing);
      this.#part('file-name').textContent = '';
      this.#typing = setTimeout(() => this.#check(text.value), TYPING_MS);
    });
    // Everywhere in the dialog, so that a file dropped beside the place does not replace the page.
    this.#dialog.addEventListener('dragover', (event) => {
      event.preventDefault();
      drop.classList.add('over');
    });
    this.#dialog.addEventListener('dragleave', ({ relatedTarget }) => {
      if (!this.#dialog.contains(relatedTarget)) drop.classList.remove('over');
    });
    this.#dialog.addEventListener('drop', (event) => {
      drop.classList.remove('over');
      const [one] = event.dataTransfer.files;
      if (!one && event.target === text) return; // dropped text
      event.preventDefault();
      if (one && !this.#importing) this.#takeFile(one);
    });
  }

  async #takeFile(file) {
    clearTimeout(this.#typing);
    this.#forget();
    if (file.size > MOST_BYTES) return this.#complain(`${file.name} has more than 1 MiB. Cut it into several files.`);
    try {
      const csv = decoded(await file.arrayBuffer());
      this.#part('file-name').textContent = file.name;
      this.#testid('import-text').value = ''; // a file's passwords are not for the screen
      this.#check(csv);
    } catch {
      this.#complain(`${file.name} could not be read.`);
    }
  }

  // --- what the server makes of it ---

  async #check(csv) {
    this.#forget();
    if (!csv.trim()) return;
    if (new Blob([csv]).size > MOST_BYTES) return this.#complain('The text has more than 1 MiB. Import it in several parts.');
    const asking = new AbortController();
    this.#asking = asking;
    this.#csv = csv;
    this.#testid('import-go').textContent = 'Checking…';
    this.#tell('Checking the list.');
    try {
      const preview = await importCameras(csv, { dryRun: true, signal: asking.signal });
      if (this.#asking === asking) this.#showPreview(preview);
    } catch (error) {
      if (this.#asking !== asking) return;
      this.#forget();
      this.#complain(error.message);
    }
  }

  #forget() {
    this.#asking?.abort();
    this.#asking = null;
    this.#preview = null;
    this.#complain('');
    this.#testid('import-preview').hidden = true;
    this.#testid('import-go').disabled = true;
    this.#testid('import-go').textContent = 'Import';
  }

  #showPreview(preview) {
    this.#preview = preview;
    const { rows, valid, invalid } = preview;
    const warnings = rows.filter(({ ok, warning }) => ok && warning).length;
    this.#part('good').textContent = `${valid} good`;
    this.#part('warned').textContent = warnings ? `${warnings} with a warning` : '';
    this.#part('bad').textContent = invalid ? `${invalid} with a mistake` : '';
    this.#part('problems').checked = invalid > 0 && valid > 0;
    this.#part('filter').hidden = invalid + warnings === 0;
    this.#testid('import-preview').hidden = false;
    this.#showRows();
    const go = this.#testid('import-go');
    go.disabled = valid === 0;
    const cameras = `${valid} ${valid === 1 ? 'camera' : 'cameras'}`;
    go.textContent = valid === 0 ? 'Import' : invalid ? `Import the good ${lineWord(valid)} only (${valid})` : `Import ${cameras}`;
    const mistakes = invalid ? `${invalid} ${lineWord(invalid)} with a mistake.` : 'No mistakes.';
    if (!rows.length) this.#complain('There is no camera in this list.');
    else this.#tell(`${rows.length} ${lineWord(rows.length)}: ${valid} good. ${mistakes}${warnings ? ` ${warnings} with a warning.` : ''}`);
  }

  #showRows() {
    const only = this.#part('problems').checked;
    const { rows } = this.#preview;
    const fits = only ? rows.filter(({ ok, warning }) => !ok || warning) : rows;
    listRows(this.#part('rows'), this.#part('more'), fits, only ? 'lines with something to look at' : 'lines');
  }

  // --- adding ---

  async #import() {
    const { invalid, valid } = this.#preview ?? {};
    if (!valid || this.#importing) return;
    const go = this.#testid('import-go');
    this.#setImporting(true);
    go.textContent = 'Importing…';
    this.#tell('Importing.');
    try {
      const result = await importCameras(this.#csv, { skipInvalid: invalid > 0 });
      this.#showResult(result);
      this.#onDone(result);
    } catch (error) {
      // What the server knew of changed since the check: the lines say what is in the way now.
      if (error.status === 422 && Array.isArray(error.data?.rows)) this.#showPreview(error.data);
      else go.textContent = 'Try again';
      this.#complain(`Nothing was imported. ${sentence(error.message)}`);
    } finally {
      this.#setImporting(false);
    }
  }

  #setImporting(importing) {
    this.#importing = importing;
    this.#part('source').inert = importing;
    this.#part('close').disabled = importing;
    this.#testid('import-go').setAttribute('aria-disabled', String(importing));
    this.#dialog.toggleAttribute('data-busy', importing);
  }

  #showResult({ rows, created, invalid }) {
    this.#part('source').hidden = true;
    this.#testid('import-preview').hidden = true;
    this.#part('rows').replaceChildren();
    this.#testid('import-go').hidden = true;
    this.#part('again').hidden = false;
    this.#part('close').textContent = 'Done';
    const result = this.#testid('import-result');
    result.hidden = false;
    const title = this.#part('result-title');
    title.textContent = `${created} ${created === 1 ? 'camera was' : 'cameras were'} added.`;
    this.#part('result-left').textContent = invalid ? `${invalid} ${lineWord(invalid)} left out.` : '';
    listRows(this.#part('result-rows'), this.#part('result-more'), rows, 'lines', { done: true });
    this.#tell(`${title.textContent} ${this.#part('result-left').textContent}`);
    title.focus();
  }

  #startOver() {
    this.#part('source').hidden = false;
    this.#testid('import-result').hidden = true;
    this.#part('result-rows').replaceChildren();
    this.#testid('import-go').hidden = false;
    this.#part('again').hidden = true;
    this.#part('close').textContent = 'Cancel';
    this.#testid('import-text').value = '';
    this.#part('file-name').textContent = '';
    this.#forget();
    this.#testid('import-file').focus();
  }

  #close() {
    if (!this.#importing) this.#dialog.close();
  }

  #complain(text) {
    const problem = this.#testid('import-error');
    problem.textContent = text;
    problem.hidden = !text;
    if (text) this.#tell('');
  }

  #tell(text) {
    this.#part('told').textContent = text;
  }

  #testid(id) {
    return this.#dialog.querySelector(`[data-testid="${id}"]`);
  }

  #part(name) {
    return this.#dialog.querySelector(`[data-part="${name}"]`);
  }
}

const menuButton = (item) => document.querySelector(`[popovertarget="${CSS.escape(item?.closest?.('[popover]')?.id ?? '')}"]`);

// What spreadsheets save: UTF-8, or the old code page of western Windows.
function decoded(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

function saveText(text, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
