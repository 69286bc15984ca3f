// This module handles the form for a camera link, for adding and for editing: its fields, which of them are sent, and
// where an error of the server is shown. The server validates the values; the page does not repeat its rules.

import { ApiError } from '../lib/api.js';
import { find } from '../lib/dom.js';
import { messageOf } from '../lib/text.js';
import { addressAlone, withoutLogin } from './address.js';
import { cameraFields } from './fields.js';
import { changesOf, hlsFieldText } from './form-values.js';
import { ProbePanel } from './probe.js';

/** @import { Camera, HlsSettings } from '../lib/api-types.js' */
/** @import { Changes, FormValues } from './form-values.js' */

/** @typedef {'url' | 'name' | 'username' | 'password' | 'zone'} TextField */
/** @type {TextField[]} */
const TEXTS = ['url', 'name', 'username', 'password', 'zone'];
/** @typedef {'always_on' | 'exclusive' | 'tls_insecure'} CheckField */
/** @type {CheckField[]} */
const CHECKS = ['always_on', 'exclusive', 'tls_insecure'];
/** @type {(keyof HlsSettings)[]} Fields are named `hls.<name>`. */
const HLS = ['segment_seconds', 'window_segments', 'part_ms', 'always_on', 'renditions'];
const DEFAULT_ZONE = 'default'; // The form shows it as an empty field.

export class CameraForm {
  #form;
  #problem;
  #submit;
  #probe;
  #moved; // Says that a login was moved out of the address.
  /** @type {string | undefined} Camera that is edited; undefined while adding. */
  #slug;
  /** @type {FormValues} Values of the fields when they were filled. */
  #shown = {};

  /**
   * `send(changes)` sends what the viewer wrote; the message of an error that it throws appears at its field.
   * @param {HTMLFormElement} form
   * @param {object} options
   * @param {(changes: Changes) => Promise<Camera | null>} options.send
   * @param {(camera: Camera | null) => void} options.done
   * @param {string} options.submitText
   * @param {string} [options.submitTestId]
   * @param {() => void} options.cancel
   */
  constructor(form, { send, done, submitText, submitTestId, cancel }) {
    this.#form = form;
    form.append(cameraFields());
    this.#problem = find(form, '.problem', HTMLElement);
    this.#problem.id = `${form.id}-problem`;
    this.#submit = find(form, '[type="submit"]', HTMLButtonElement);
    this.#submit.textContent = submitText;
    if (submitTestId) this.#submit.dataset.testid = submitTestId;
    const cancelButton = find(form, '[name="cancel"]', HTMLButtonElement);
    cancelButton.hidden = false;
    cancelButton.addEventListener('click', cancel);
    this.#moved = find(form, '.moved', HTMLElement);
    this.#probe = new ProbePanel(form, {
      camera: () => ({ camera: this.#changes(), slug: this.#slug }),
      complain: (error) => this.#complain(error),
    });
    const url = this.#input('url');
    url.addEventListener('input', (event) => {
      this.#moved.textContent = '';
      const { inputType = '' } = /** @type {InputEvent} */ (event);
      if (/^insertFrom(Paste|Drop)/.test(inputType)) this.#moveLogin();
      this.#showTlsField();
    });
    url.addEventListener('change', () => this.#moveLogin());
    form.closest('dialog')?.addEventListener('close', () => this.#probe.clear());
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      if (!this.#submit.disabled) void this.#send(send, done);
    });
    this.fill({});
  }

  /**
   * @param {(changes: Changes) => Promise<Camera | null>} send
   * @param {(camera: Camera | null) => void} done
   */
  async #send(send, done) {
    this.#complain(null);
    this.#moveLogin(); // Enter in the address submits before the field counts as changed.
    this.#probe.clear();
    this.#submit.disabled = true;
    try {
      const answer = await send(this.#changes());
      this.fill({});
      done(answer);
    } catch (error) {
      this.#complain(error);
    } finally {
      this.#submit.disabled = false;
    }
  }

  /**
   * Shows a camera, or empty fields. The page never knows the password, so its field stays empty.
   * @param {Partial<Camera>} camera
   */
  fill(camera) {
    this.#slug = camera.slug;
    this.#probe.clear();
    this.#moved.textContent = '';
    for (const name of TEXTS) this.#input(name).value = name === 'password' ? '' : (camera[name] ?? '');
    this.#input('url').value = addressAlone(this.#input('url').value);
    this.#input('password').placeholder = camera.has_password ? 'unchanged' : '';
    if (camera.zone === DEFAULT_ZONE) this.#input('zone').value = '';
    for (const name of CHECKS) this.#input(name).checked = Boolean(camera[name]);
    for (const name of HLS) this.#field(`hls.${name}`).value = hlsFieldText(camera.hls?.[name]);
    const transport = this.#transport;
    transport.value = camera.transport ?? 'auto';
    if (transport.selectedIndex < 0) transport.value = 'auto';
    this.#showTlsField();
    this.#shown = this.#values();
    this.#complain(null);
  }

  // A login in the address would be stored in the clear and shown to every viewer; it has its own fields.
  #moveLogin() {
    const url = this.#input('url');
    const parts = withoutLogin(url.value);
    if (!parts) return;
    url.value = parts.url;
    this.#input('username').value = parts.username;
    this.#input('password').value = parts.password;
    const what = parts.password ? 'User name and password were' : 'The user name was';
    this.#moved.textContent = `${what} moved out of the address into their own fields.`;
  }

  // Only a camera that uses TLS has a certificate.
  #showTlsField() {
    const tls = /^\s*rtsps:/i.test(this.#input('url').value);
    find(this.#form, '[data-for="rtsps"]', HTMLElement).hidden = !tls;
  }

  /** @returns {FormValues} */
  #values() {
    /** @type {FormValues} */
    const values = {};
    for (const name of TEXTS) values[name] = this.#input(name).value.trim();
    values.password = this.#input('password').value; // A password may begin with a space.
    for (const name of CHECKS) values[name] = this.#input(name).checked;
    for (const name of HLS) values[`hls.${name}`] = this.#field(`hls.${name}`).value.trim();
    return { ...values, transport: this.#transport.value };
  }

  #changes() {
    return changesOf(this.#shown, this.#values());
  }

  /**
   * Shows an error at the field that it is about, or beside the button; null removes it.
   * @param {unknown} error
   */
  #complain(error) {
    for (const input of this.#form.querySelectorAll('[aria-invalid]')) {
      input.removeAttribute('aria-invalid');
      input.removeAttribute('aria-describedby');
    }
    this.#problem.hidden = !error;
    this.#problem.textContent = error ? messageOf(error) : '';
    if (!error) return;
    const field = error instanceof ApiError ? fieldOf(error) : '';
    const input = this.#find(field) ?? this.#find(field.split('.')[0]);
    if (!input) {
      this.#submit.focus();
      return;
    }
    input.setAttribute('aria-invalid', 'true');
    input.setAttribute('aria-describedby', this.#problem.id);
    const folded = input.closest('details');
    if (folded) folded.open = true;
    else (input.closest('.field') ?? input.closest('.check'))?.append(this.#problem);
    input.focus();
  }

  /** @param {string} name */
  #find(name) {
    const input = name ? this.#form.elements.namedItem(name) : null;
    return input instanceof HTMLElement ? input : null;
  }

  get #transport() {
    return find(this.#form, '[name="transport"]', HTMLSelectElement);
  }

  /** @param {TextField | CheckField} name */
  #input(name) {
    return find(this.#form, `[name="${name}"]`, HTMLInputElement);
  }

  /**
   * @param {string} name
   * @returns {{ value: string }}
   */
  #field(name) {
    const field = this.#find(name);
    if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement) return field;
    throw new TypeError(`${name} is not a field`);
  }
}

/** @param {ApiError} error */
function fieldOf({ field, status, message }) {
  return field ?? (status === 400 && /\burl\b/i.test(message) ? 'url' : '');
}
