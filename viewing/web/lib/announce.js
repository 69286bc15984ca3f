// This module announces changes to screen readers without talking all the time: changes within a few seconds become one
// message, and many changes become a number. The answer to a key or button is announced at once.

const GATHER_MS = 2500;
const MOST_READ_OUT = 3; // changes; more are announced as a number

/** @type {Element | null} */
let region = null;
/** @type {Map<string, string>} Subject to its newest change. The list of cameras bounds it. */
let gathered = new Map();
/** @type {Timer | undefined} */
let timer;

/**
 * Sets the live region that announcements appear in.
 * @param {Element} element
 */
export function announceIn(element) {
  region = element;
}

/**
 * Announces a change soon, together with others.
 * @param {string} subject
 * @param {string} change a sentence
 */
export function announce(subject, change) {
  gathered.set(subject, change);
  timer ??= setTimeout(flush, GATHER_MS);
}

/**
 * Announces the result of the viewer's own action at once.
 * @param {string} sentence
 */
export function answer(sentence) {
  if (region) region.textContent = sentence;
}

function flush() {
  timer = undefined;
  const changes = [...gathered];
  gathered = new Map();
  answer(summary(changes));
}

/**
 * Returns the text that announces these changes.
 * @param {[subject: string, change: string][]} changes
 */
export function summary(changes) {
  if (changes.length > MOST_READ_OUT) return `${changes.length} cameras changed their state.`;
  return changes.map(([subject, change]) => `${subject}: ${change}`).join(' ');
}
