// Knows how a removal can be taken back: the camera leaves the wall at once, a note says so for a while with an Undo
// button, and only when the note goes is the server told. Closing the page tells it at once.

import { removeCamera } from './api.js';
import { sentence } from './words.js';

const UNDO_MS = 8000;
const MOST = 5; // notes at once: one more sends the oldest removal
const TICK_MS = 100;

const pending = []; // Removal, the oldest first
let stack = null;

/**
 * Removes `camera` unless it is taken back. `onGone()` is called at once; `onBack({byHand})` when the person took it
 * back (they had the focus on a note that is gone: it belongs on the camera), or when the server did not remove it.
 */
export function removeWithUndo(camera, { onGone = () => {}, onBack = () => {} } = {}) {
  if (leaving(camera.slug)) return;
  while (pending.length >= MOST) pending[0].send();
  pending.push(new Removal(camera, onBack));
  onGone();
}

/** Whether this camera was removed here and can still be taken back. */
export const leaving = (slug) => pending.some((one) => one.slug === slug);

class Removal {
  #name;
  #onBack;
  #toast;
  #bar;
  #left = UNDO_MS;
  #read = false;
  #clock;

  constructor({ slug, name }, onBack) {
    this.slug = slug;
    this.#name = name || slug;
    this.#onBack = onBack;
    this.#toast = toast();
    this.#toast.dataset.slug = slug;
    const [text, undo] = this.#toast.children;
    text.textContent = `Removed ${this.#name}.`;
    undo.textContent = 'Undo';
    undo.dataset.testid = 'undo';
    undo.setAttribute('aria-label', `Undo: keep ${this.#name}`);
    undo.setAttribute('aria-keyshortcuts', 'Control+Z');
    undo.title = 'Undo (Ctrl+Z)';
    undo.addEventListener('click', () => this.takeBack());
    this.#bar = this.#toast.querySelector('.toast-left');
    this.#clock = setInterval(() => this.#tick(), TICK_MS);
    // A note that appears under a pointer at rest is not being read.
    this.#toast.addEventListener('pointermove', () => { this.#read = true; });
    this.#toast.addEventListener('pointerleave', () => { this.#read = false; });
  }

  takeBack() {
    this.#leave();
    this.#toast.remove();
    tell(`${this.#name} is kept.`);
    this.#onBack({ byHand: true });
  }

  /** Tells the server. `keepalive`: the page is about to go, nobody is there for the answer. */
  async send({ keepalive = false } = {}) {
    this.#leave();
    this.#toast.remove();
    try {
      await removeCamera(this.slug, { keepalive });
    } catch (error) {
      if (error.status === 404) return; // somebody was faster
      this.#onBack({ byHand: false });
      complain(`${this.#name} was not removed.`, error.message);
    }
  }

  // Time stands still while somebody reads or reaches for the button.
  #tick() {
    if (this.#read || this.#toast.matches(':focus-within')) return;
    this.#left -= TICK_MS;
    this.#bar.style.transform = `scaleX(${Math.max(0, this.#left / UNDO_MS)})`;
    if (this.#left <= 0) this.send();
  }

  #leave() {
    clearInterval(this.#clock);
    const at = pending.indexOf(this);
    if (at >= 0) pending.splice(at, 1);
  }
}

function toast() {
  const one = document.createElement('div');
  one.className = 'toast';
  one.dataset.testid = 'undo-toast';
  const [text, button, left] = ['p', 'button', 'span'].map((tag) => document.createElement(tag));
  button.type = 'button';
  left.className = 'toast-left';
  left.setAttribute('aria-hidden', 'true');
  one.append(text, button, left);
  notes().append(one);
  return one;
}

// A removal that failed stays to be read until it is put away.
function complain(what, why) {
  const one = toast();
  one.classList.add('toast-bad');
  one.dataset.testid = 'undo-failed';
  const [text, close, left] = one.children;
  text.textContent = `${what} ${sentence(why)}`;
  close.textContent = 'Close';
  close.addEventListener('click', () => one.remove());
  left.remove();
  const failed = notes().querySelectorAll('.toast-bad');
  if (failed.length > MOST) failed[0].remove();
}

// One place for all notes, read out as they come.
function notes() {
  if (stack) return stack;
  stack = document.createElement('section');
  stack.className = 'toasts';
  stack.setAttribute('aria-label', 'Notes');
  stack.setAttribute('aria-live', 'polite');
  stack.setAttribute('aria-relevant', 'additions');
  document.body.append(stack);
  document.addEventListener('keydown', (event) => {
    const undo = (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === 'z';
    if (!undo || !pending.length || event.target.closest?.('input, textarea, select, dialog')) return;
    event.preventDefault();
    pending.at(-1).takeBack();
  });
  return stack;
}

function tell(text) {
  const said = document.createElement('p');
  said.className = 'unseen';
  said.textContent = text;
  notes().append(said);
  setTimeout(() => said.remove(), UNDO_MS);
}

addEventListener('pagehide', () => {
  for (const one of [...pending]) one.send({ keepalive: true });
});
