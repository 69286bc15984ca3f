// Knows the form that describes a camera link, for adding and for editing: its fields, what of them is sent, and
// where the server's complaint is shown. The server judges the values; the page does not second-guess it.

import { cameraFields } from './camera-fields.js';
import { CameraLook } from './camera-look.js';
import { addressAlone, withoutLogin } from './camera-address.js';

const TEXTS = ['url', 'name', 'username', 'password', 'zone'];
const CHECKS = ['always_on', 'exclusive', 'tls_insecure'];
const HLS = ['segment_seconds', 'window_segments', 'part_ms', 'always_on', 'renditions']; // fields are hls.<name>
const DEFAULT_ZONE = 'default'; // shown as an empty field

export class CameraForm {
  #form;
  #problem;
  #submit;
  #look;
  #moved; // says that a login was taken out of the address
  #slug; // of the camera that is edited; undefined while adding
  #shown = {}; // what the fields held when they were filled

  /** `send(values)` takes what the person wrote; when it throws an ApiError, its sentence appears at its field. */
  constructor(form, { send, done, submitText, cancel }) {
    this.#form = form;
    form.append(cameraFields());
    this.#problem = form.querySelector('.problem');
    this.#problem.id = `${form.id}-problem`;
    this.#submit = form.querySelector('[type="submit"]');
    this.#submit.textContent = submitText;
    if (cancel) {
      const button = form.elements.cancel;
      button.hidden = false;
      button.addEventListener('click', cancel);
      this.#submit.dataset.testid = 'edit-submit';
    }
    this.#moved = form.querySelector('.moved');
    this.#look = new CameraLook(form, {
      camera: () => ({ camera: this.#changes(), slug: this.#slug }),
      complain: (error) => this.#complain(error),
    });
    const { url } = form.elements;
    url.addEventListener('input', ({ inputType }) => {
      this.#moved.textContent = '';
      if (/^insertFrom(Paste|Drop)/.test(inputType ?? '')) this.#moveLogin();
      this.#showWhatFits();
    });
    url.addEventListener('change', () => this.#moveLogin());
    form.closest('dialog')?.addEventListener('close', () => this.#look.clear()); // nobody waits for its test any more
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      if (this.#submit.disabled) return;
      this.#complain(null);
      this.#moveLogin(); // Enter in the address submits before it counts as changed
      this.#look.clear();
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
    });
    this.fill({});
  }

  /** Shows a camera (or nothing). The password is never known here, so its field stays empty. */
  fill(camera) {
    const { elements } = this.#form;
    this.#slug = camera.slug;
    this.#look.clear();
    this.#moved.textContent = '';
    for (const name of TEXTS) elements[name].value = name === 'password' ? '' : (camera[name] ?? '');
    elements.url.value = addressAlone(elements.url.value);
    elements.password.placeholder = camera.has_password ? 'unchanged' : '';
    if (camera.zone === DEFAULT_ZONE) elements.zone.value = '';
    for (const name of CHECKS) elements[name].checked = Boolean(camera[name]);
    for (const name of HLS) elements[`hls.${name}`].value = written(camera.hls?.[name]);
    elements.transport.value = camera.transport ?? 'auto';
    if (elements.transport.selectedIndex < 0) elements.transport.value = 'auto';
    this.#showWhatFits();
    this.#shown = this.#values();
    this.#complain(null);
  }

  // A login in the address would be stored in the clear and shown to everybody; it has its own fields.
  #moveLogin() {
    const { url, username, password } = this.#form.elements;
    const parts = withoutLogin(url.value);
    if (!parts) return;
    url.value = parts.url;
    username.value = parts.username;
    password.value = parts.password;
    const what = parts.password ? 'User name and password were' : 'The user name was';
    this.#moved.textContent = `${what} moved out of the address into their own fields.`;
  }

  // A certificate has a camera that speaks TLS.
  #showWhatFits() {
    const tls = /^\s*rtsps:/i.test(this.#form.elements.url.value);
    this.#form.querySelector('[data-for="rtsps"]').hidden = !tls;
  }

  #values() {
    const { elements } = this.#form;
    const values = Object.fromEntries(TEXTS.map((name) => [name, elements[name].value.trim()]));
    values.password = elements.password.value; // a password may begin with a space
    for (const name of CHECKS) values[name] = elements[name].checked;
    for (const name of HLS) values[`hls.${name}`] = elements[`hls.${name}`].value.trim();
    return { ...values, transport: elements.transport.value };
  }

  // Only what differs from what was shown: an empty field of a new camera, and an untouched one of an old, say nothing.
  #changes() {
    const changes = {};
    for (const [name, value] of Object.entries(this.#values())) {
      if (value === this.#shown[name]) continue;
      const [, inner] = name.split('hls.');
      if (inner) (changes.hls ??= {})[inner] = meant(inner, value);
      else changes[name] = value;
    }
    return changes;
  }

  #complain(error) {
    for (const input of this.#form.querySelectorAll('[aria-invalid]')) {
      input.removeAttribute('aria-invalid');
      input.removeAttribute('aria-describedby');
    }
    this.#problem.hidden = !error;
    this.#problem.textContent = error?.message ?? '';
    if (!error) return;
    const named = error.field ?? (error.status === 400 && /\burl\b/i.test(error.message) ? 'url' : undefined);
    const { elements } = this.#form;
    const input = elements.namedItem(named ?? '') ?? elements.namedItem((named ?? '').split('.')[0]);
    if (!input) return this.#submit.focus();
    input.setAttribute('aria-invalid', 'true');
    input.setAttribute('aria-describedby', this.#problem.id);
    const place = input.closest('.field') ?? input.closest('.check');
    const more = input.closest('details.more');
    if (more) more.open = true;
    else place?.append(this.#problem);
    input.focus();
  }
}

/** An HLS setting as its field holds it; empty for the server's own. */
function written(value) {
  if (Array.isArray(value)) return value.join(', ') || 'none';
  return value === null || value === undefined ? '' : String(value);
}

/** What a field's text means; what means nothing is sent as it is, and the server says so. */
function meant(name, text) {
  if (text === '') return null;
  if (name === 'renditions') return text === 'none' ? [] : text.split(/[\s,]+/).filter(Boolean);
  if (name === 'always_on') return text === 'true';
  return /^\d+$/.test(text) ? Number(text) : text;
}
