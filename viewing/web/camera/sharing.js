// This module lists what other programs and pages can use of a camera: its addresses, and pieces of HTML that show it,
// each with a button that copies it.

import { frameSocket } from '../lib/api.js';
import { create } from '../lib/dom.js';
import { ROOT } from '../lib/root.js';
import { cameraRoute } from '../lib/routes.js';

/** @import { Camera } from '../lib/api-types.js' */

const COPIED_MS = 2000;

/**
 * Returns label and address, the most common one first.
 * @param {Pick<Camera, 'slug' | 'id'>} camera
 * @param {string} [origin]
 * @returns {[label: string, address: string][]}
 */
export function addressesOf({ slug, id }, origin = location.origin + ROOT) {
  /** @type {[string, string][]} */
  const playlist = id === undefined ? [] : [['HLS playlist', playlistUrl(origin, id)]];
  return [
    ['This page', `${origin}/${cameraRoute(slug)}`],
    ['Snapshot (JPEG)', `${origin}/video/${encodeURIComponent(slug)}/snapshot.jpg`],
    ['MJPEG', mjpegUrl(origin, slug)],
    ...playlist,
    ['JPEG over WebSocket', frameSocket(slug)],
  ];
}

/**
 * Returns label and HTML for other pages.
 * @param {{ slug: string, id: number, name?: string }} camera
 * @param {string} [origin]
 * @returns {[label: string, html: string][]}
 */
export function snippetsOf({ slug, id, name }, origin = location.origin + ROOT) {
  const mjpeg = `${mjpegUrl(origin, slug)}?width=640`;
  return [
    ['Moving picture, no script', `<img src="${mjpeg}" alt="${escapeHtml(name || slug)}" width="640">`],
    ['Video with hls.js', `<video id="camera" muted autoplay playsinline controls width="640"></video>
<script src="${origin}/assets/hls.min.js"></script>
<script>
  const video = document.getElementById('camera');
  const playlist = '${playlistUrl(origin, id)}';
  if (Hls.isSupported()) {
    const hls = new Hls();
    hls.loadSource(playlist);
    hls.attachMedia(video);
  } else {
    video.src = playlist; // Safari on iPhone plays HLS itself
  }
</script>`],
  ];
}

/**
 * @param {string} origin
 * @param {number} id
 */
const playlistUrl = (origin, id) => `${origin}/video/play/${id}/`;

/**
 * @param {string} origin
 * @param {string} slug
 */
const mjpegUrl = (origin, slug) => `${origin}/video/${encodeURIComponent(slug)}/mjpeg`;

/** @param {string} text */
const escapeHtml = (text) => text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);

/**
 * Returns a row with a label, the text, and a button that copies it.
 * @param {string} label
 * @param {string} text
 * @param {{ lines?: boolean }} [options] `lines`: the text has several lines
 */
export function copyRow(label, text, { lines = false } = {}) {
  const row = create('div', { className: 'cp-row' });
  row.dataset.testid = 'address-row';
  const field = lines ? textArea(text) : textInput();
  field.readOnly = true;
  field.spellcheck = false;
  field.value = text;
  field.addEventListener('focus', () => field.select());
  const button = create('button', { text: 'Copy' });
  button.type = 'button';
  button.dataset.testid = 'copy';
  button.setAttribute('aria-label', `Copy: ${label}`);
  button.addEventListener('click', () => void copy(field, button, label));
  const wrap = create('label');
  wrap.append(create('span', { text: label }), field);
  row.append(wrap, button);
  return row;
}

/** @param {string} text */
function textArea(text) {
  const area = create('textarea');
  area.rows = text.split('\n').length;
  return area;
}

function textInput() {
  const input = create('input');
  input.type = 'text';
  return input;
}

/**
 * @param {HTMLInputElement | HTMLTextAreaElement} field
 * @param {HTMLButtonElement} button
 * @param {string} label
 */
async function copy(field, button, label) {
  let copied = true;
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    // Plain HTTP away from localhost has no clipboard API: the old command copies the selected text.
    field.select();
    copied = document.execCommand('copy');
  }
  button.textContent = copied ? 'Copied' : 'Press Ctrl+C';
  button.setAttribute('aria-label', `${button.textContent}: ${label}`);
  if (!copied) field.focus();
  setTimeout(() => {
    button.textContent = 'Copy';
    button.setAttribute('aria-label', `Copy: ${label}`);
  }, COPIED_MS);
}
