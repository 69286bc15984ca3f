// This module lets the viewer undo a removal: the camera leaves the wall at once, a note with an Undo button says so for a
// while, and the server is told only when the note goes. Closing the page tells the server at once.

import { isNotFound, removeCamera } from '../lib/api.js';
import { create, elementOf } from '../lib/dom.js';
import { messageOf, sentence } from '../lib/text.js';

/** @import { Camera } from '../lib/api-types.js' */

const UNDO_MS = 8000;
const MOST_PENDING = 5; // removals; one more sends the oldest
const MOST_FAILED = 5; // notes on failures
const TICK_MS = 100;

/** @type {Removal[]} The oldest first, at most MOST_PENDING. */
const pending = [];
/** @type {HTMLElement | null} */
let stack = null;

/**
 * Removes `camera` unless the viewer undoes it.
 * @param {Camera} camera
 * @param {object} options
 * @param {() => void} options.onGone called at once
 * @param {(how: { undone: boolean }) => void} options.onBack called when the viewer undid it (the focus was on a note
 *   that is gone: it belongs on the camera), or when the server did not remove it
 */
export function removeWithUndo(camera, { onGone, onBack }) {
  if (pending.some(({ slug }) => slug === camera.slug)) return;
  while (pending.length >= MOST_PENDING) void pending[0].send();
  pending.push(new Removal(camera, onBack));
  onGone();
}

class Removal {
  #name;
  #onBack;
  #toast;
  #bar;
  #left = UNDO_MS;
  #hovered = false;
  #clock;

  /**
   * @param {Camera} camera
   * @param {(how: { undone: boolean }) => void} onBack
   */
  constructor({ slug, name }, onBack) {
    this.slug = slug;
    this.#name = name || slug;
    this.#onBack = onBack;
    const { toast, button, bar } = addToast(`Removed ${this.#name}.`, 'Undo');
    this.#toast = toast;
    this.#bar = bar;
    toast.dataset.slug = slug;
    button.dataset.testid = 'undo';
    button.setAttribute('aria-label', `Undo: keep ${this.#name}`);
    button.setAttribute('aria-keyshortcuts', 'Control+Z');
    button.title = 'Undo (Ctrl+Z)';
    button.addEventListener('click', () => this.undo());
    this.#clock = setInterval(() => this.#tick(), TICK_MS);
    // A note that appears under a pointer at rest is not being read.
    toast.addEventListener('pointermove', () => { this.#hovered = true; });
    toast.addEventListener('pointerleave', () => { this.#hovered = false; });
  }

  undo() {
    this.#end();
    say(`${this.#name} is kept.`);
    this.#onBack({ undone: true });
  }

  /**
   * Tells the server.
   * @param {{ keepalive?: boolean }} [options] `keepalive`: the page closes, so the answer is not read
   */
  async send({ keepalive = false } = {}) {
    this.#end();
    try {
      await removeCamera(this.slug, { keepalive });
    } catch (error) {
      if (isNotFound(error)) return; // Another viewer removed it.
      this.#onBack({ undone: false });
      showFailure(`${this.#name} was not removed. ${sentence(messageOf(error))}`);
    }
  }

  // The time stands still while the viewer reads the note or reaches for its button.
  #tick() {
    if (this.#hovered || this.#toast.matches(':focus-within')) return;
    this.#left -= TICK_MS;
    this.#bar.style.transform = `scaleX(${Math.max(0, this.#left / UNDO_MS)})`;
    if (this.#left <= 0) void this.send();
  }

  #end() {
    clearInterval(this.#clock);
    const at = pending.indexOf(this);
    if (at >= 0) pending.splice(at, 1);
    this.#toast.remove();
  }
}

/**
 * @param {string} text
 * @param {string} action
 */
function addToast(text, action) {
  const toast = create('div', { className: 'toast' });
  toast.dataset.testid = 'undo-toast';
  const button = create('button', { text: action });
  button.type = 'button';
  const bar = create('span', { className: 'toast-left' });
  bar.setAttribute('aria-hidden', 'true');
  toast.append(create('p', { text }), button, bar);
  notes().append(toast);
  return { toast, button, bar };
}

/**
 * A failure stays until the viewer closes it.
 * @param {string} text
 */
function showFailure(text) {
  const { toast, button, bar } = addToast(text, 'Close');
  toast.classList.add('toast-bad');
  toast.dataset.testid = 'undo-failed';
  button.addEventListener('click', () => toast.remove());
  bar.remove();
  const failed = notes().querySelectorAll('.toast-bad');
  if (failed.length > MOST_FAILED) failed[0].remove();
}

// All notes stand in one live region, which screen readers read out as they come.
function notes() {
  if (stack) return stack;
  stack = create('section', { className: 'toasts' });
  stack.setAttribute('aria-label', 'Notes');
  stack.setAttribute('aria-live', 'polite');
  stack.setAttribute('aria-relevant', 'additions');
  document.body.append(stack);
  document.addEventListener('keydown', (event) => {
    const undo = (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === 'z';
    const newest = pending.at(-1);
    if (!undo || !newest || elementOf(event.target)?.closest('input, textarea, select, dialog')) return;
    event.preventDefault();
    newest.undo();
  });
  return stack;
}

/**
 * Tells screen readers only.
 * @param {string} text
 */
function say(text) {
  const note = create('p', { className: 'unseen', text });
  notes().append(note);
  setTimeout(() => note.remove(), UNDO_MS);
}

addEventListener('pagehide', () => {
  for (const removal of [...pending]) void removal.send({ keepalive: true });
});
