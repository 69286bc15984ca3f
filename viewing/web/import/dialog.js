// This module handles the dialog that imports a list of cameras: a CSV file or pasted text, the server's check of each
// line before anything is saved, and the cameras that were added.

import { ApiError, importCameras } from '../lib/api.js';
import { byPart, byTestId } from '../lib/dom.js';
import { download } from '../lib/download.js';
import { counted, messageOf, sentence } from '../lib/text.js';
import { MOST_BYTES, TEMPLATE, TEMPLATE_NAME, decodeCsv, previewText } from './csv-file.js';
import { importDialog } from './dialog-markup.js';
import { listRows } from './rows.js';

/** @import { ImportResult } from '../lib/api-types.js' */

const TYPING_MS = 600; // The list is checked when the viewer has paused for so long.

/**
 * Opens the dialog; `onDone` is called each time cameras were added.
 * @param {{ onDone: () => void }} options
 */
export function openImport({ onDone }) {
  new ImportDialog(onDone).open();
}

class ImportDialog {
  #dialog = importDialog();
  #onDone;
  #csv = '';
  /** @type {ImportResult | null} The server's check of `#csv`. */
  #preview = null;
  /** @type {AbortController | null} The check under way. */
  #checking = null;
  #importing = false;
  /** @type {Timer | undefined} */
  #typing;

  /** @param {() => void} onDone */
  constructor(onDone) {
    this.#onDone = onDone;
    this.#wireSources();
    const template = new Blob([TEMPLATE], { type: 'text/csv' });
    this.#part('template').addEventListener('click', () => download(template, TEMPLATE_NAME));
    this.#problemsOnly.addEventListener('change', () => this.#showRows());
    this.#go.addEventListener('click', () => void this.#import());
    this.#part('again').addEventListener('click', () => this.#startOver());
    this.#closeButton.addEventListener('click', () => { if (!this.#importing) this.#dialog.close(); });
    this.#dialog.addEventListener('cancel', (event) => {
      if (this.#importing) event.preventDefault(); // The answer says what was saved.
    });
  }

  open() {
    const opener = document.activeElement;
    this.#dialog.addEventListener('close', () => {
      clearTimeout(this.#typing);
      this.#checking?.abort();
      this.#dialog.remove();
      if (!opener?.checkVisibility()) menuButtonOf(opener)?.focus(); // The menu that it stands in has closed.
    });
    document.body.append(this.#dialog);
    this.#dialog.showModal();
    this.#file.focus();
  }

  // --- sources of the text ---

  #wireSources() {
    const [file, text, drop] = [this.#file, this.#text, this.#part('drop')];
    file.addEventListener('change', () => {
      const [one] = file.files ?? [];
      if (one) void this.#takeFile(one);
      file.value = ''; // The same file, corrected and chosen again, is a change then.
    });
    text.addEventListener('input', () => {
      this.#forget();
      clearTimeout(this.#typing);
      this.#part('file-name').textContent = '';
      this.#typing = setTimeout(() => void this.#check(text.value), TYPING_MS);
    });
    // The whole dialog takes a drop, so that a file dropped beside the place does not replace the page.
    this.#dialog.addEventListener('dragover', (event) => {
      event.preventDefault();
      drop.classList.add('over');
    });
    this.#dialog.addEventListener('dragleave', ({ relatedTarget }) => {
      const inside = relatedTarget instanceof Node && this.#dialog.contains(relatedTarget);
      if (!inside) drop.classList.remove('over');
    });
    this.#dialog.addEventListener('drop', (event) => {
      drop.classList.remove('over');
      const [one] = event.dataTransfer?.files ?? [];
      if (!one && event.target === text) return; // The browser inserts dropped text.
      event.preventDefault();
      if (one && !this.#importing) void this.#takeFile(one);
    });
  }

  /** @param {File} file */
  async #takeFile(file) {
    clearTimeout(this.#typing);
    this.#forget();
    if (file.size > MOST_BYTES) {
      this.#complain(`${file.name} is larger than 1 MiB. Split it into several files.`);
      return;
    }
    try {
      const csv = decodeCsv(await file.arrayBuffer());
      this.#part('file-name').textContent = file.name;
      this.#text.value = ''; // The passwords of a file do not belong on the screen.
      void this.#check(csv);
    } catch {
      this.#complain(`${file.name} could not be read.`);
    }
  }

  // --- the server's check ---

  /** @param {string} csv */
  async #check(csv) {
    this.#forget();
    if (!csv.trim()) return;
    if (new Blob([csv]).size > MOST_BYTES) {
      this.#complain('The text is larger than 1 MiB. Import it in several parts.');
      return;
    }
    const checking = new AbortController();
    this.#checking = checking;
    this.#csv = csv;
    this.#go.textContent = 'Checking…';
    this.#say('Checking the list.');
    try {
      const preview = await importCameras(csv, { dryRun: true, signal: checking.signal });
      if (this.#checking === checking) this.#showPreview(preview);
    } catch (error) {
      if (this.#checking !== checking) return;
      this.#forget();
      this.#complain(messageOf(error));
    }
  }

  #forget() {
    this.#checking?.abort();
    this.#checking = null;
    this.#preview = null;
    this.#complain('');
    this.#element('import-preview').hidden = true;
    this.#go.disabled = true;
    this.#go.textContent = 'Import';
  }

  /** @param {ImportResult} preview */
  #showPreview(preview) {
    this.#preview = preview;
    const { rows, valid, invalid } = preview;
    const text = previewText(preview);
    this.#part('good').textContent = text.good;
    this.#part('warned').textContent = text.warned;
    this.#part('bad').textContent = text.bad;
    this.#problemsOnly.checked = invalid > 0 && valid > 0;
    this.#part('filter').hidden = invalid + text.warnings === 0;
    this.#element('import-preview').hidden = false;
    this.#showRows();
    this.#go.disabled = valid === 0;
    this.#go.textContent = text.action;
    if (rows.length) this.#say(text.summary);
    else this.#complain('There is no camera in this list.');
  }

  #showRows() {
    const only = this.#problemsOnly.checked;
    const rows = this.#preview?.rows ?? [];
    const shown = only ? rows.filter(({ ok, warning }) => !ok || warning) : rows;
    listRows(this.#part('rows'), this.#part('more'), shown, only ? 'lines with errors or warnings' : 'lines');
  }

  // --- adding ---

  async #import() {
    if (!this.#preview?.valid || this.#importing) return;
    const { invalid } = this.#preview;
    this.#setImporting(true);
    this.#go.textContent = 'Importing…';
    this.#say('Importing.');
    try {
      const result = await importCameras(this.#csv, { skipInvalid: invalid > 0 });
      this.#showResult(result);
      this.#onDone();
    } catch (error) {
      // Cameras changed since the check: the lines say now what is wrong.
      const checked = error instanceof ApiError && error.status === 422 && Array.isArray(error.data?.rows);
      if (checked) this.#showPreview(error.data);
      else this.#go.textContent = 'Try again';
      this.#complain(`Nothing was imported. ${sentence(messageOf(error))}`);
    } finally {
      this.#setImporting(false);
    }
  }

  /** @param {boolean} importing */
  #setImporting(importing) {
    this.#importing = importing;
    this.#part('source').inert = importing;
    this.#closeButton.disabled = importing;
    this.#go.setAttribute('aria-disabled', String(importing));
    this.#dialog.toggleAttribute('data-busy', importing);
  }

  /** @param {ImportResult} result */
  #showResult({ rows, created, invalid }) {
    this.#part('source').hidden = true;
    this.#element('import-preview').hidden = true;
    this.#part('rows').replaceChildren();
    this.#go.hidden = true;
    this.#part('again').hidden = false;
    this.#closeButton.textContent = 'Done';
    this.#element('import-result').hidden = false;
    const title = this.#part('result-title');
    title.textContent = `${created} ${created === 1 ? 'camera was' : 'cameras were'} added.`;
    const skipped = invalid ? `${counted(invalid, 'line')} skipped.` : '';
    this.#part('result-skipped').textContent = skipped;
    listRows(this.#part('result-rows'), this.#part('result-more'), rows, 'lines', { done: true });
    this.#say(`${title.textContent} ${skipped}`);
    title.focus();
  }

  #startOver() {
    this.#part('source').hidden = false;
    this.#element('import-result').hidden = true;
    this.#part('result-rows').replaceChildren();
    this.#go.hidden = false;
    this.#part('again').hidden = true;
    this.#closeButton.textContent = 'Cancel';
    this.#text.value = '';
    this.#part('file-name').textContent = '';
    this.#forget();
    this.#file.focus();
  }

  /** @param {string} text an error; '' removes it */
  #complain(text) {
    const problem = this.#element('import-error');
    problem.textContent = text;
    problem.hidden = !text;
    if (text) this.#say('');
  }

  /**
   * Tells screen readers.
   * @param {string} text
   */
  #say(text) {
    this.#part('status').textContent = text;
  }

  // --- elements ---

  get #file() {
    return byTestId(this.#dialog, 'import-file', HTMLInputElement);
  }

  get #text() {
    return byTestId(this.#dialog, 'import-text', HTMLTextAreaElement);
  }

  get #go() {
    return byTestId(this.#dialog, 'import-go', HTMLButtonElement);
  }

  get #problemsOnly() {
    return byPart(this.#dialog, 'problems', HTMLInputElement);
  }

  get #closeButton() {
    return byPart(this.#dialog, 'close', HTMLButtonElement);
  }

  /** @param {string} id */
  #element(id) {
    return byTestId(this.#dialog, id, HTMLElement);
  }

  /** @param {string} name */
  #part(name) {
    return byPart(this.#dialog, name, HTMLElement);
  }
}

/**
 * Returns the button that opens the menu in which an element stands.
 * @param {Element | null} element
 */
function menuButtonOf(element) {
  const id = element?.closest('[popover]')?.id ?? '';
  const button = document.querySelector(`[popovertarget="${CSS.escape(id)}"]`);
  return button instanceof HTMLElement ? button : null;
}
