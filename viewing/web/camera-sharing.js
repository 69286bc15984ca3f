// Knows what of a camera can be taken along: its addresses for other programs, and small pieces of HTML that show it on
// another page, each with a button that copies it.

import { frameSocket, snapshotPath } from './api.js';

const COPIED_MS = 2000;

/** Where a camera's own page stands in this page. */
export const cameraRoute = (slug) => `#/camera/${encodeURIComponent(slug)}`;

/** `[label, address]`, the likeliest wish first. */
export function addressesOf({ slug, id }) {
  const media = new URL(`/video/${encodeURIComponent(slug)}`, location.origin).href;
  return [
    ['This page', `${location.origin}/${cameraRoute(slug)}`],
    ['Snapshot (JPEG)', new URL(snapshotPath(slug), location.origin).href],
    ['MJPEG', `${media}/mjpeg`],
    ['HLS playlist', `${location.origin}/video/play/${id}/`],
    ['JPEG over WebSocket', frameSocket(slug)],
  ].filter(([label]) => id !== undefined || label !== 'HLS playlist');
}

/** `[label, html]` for another page. */
export function snippetsOf({ slug, id, name }) {
  const alt = escaped(name || slug);
  const mjpeg = new URL(`/video/${encodeURIComponent(slug)}/mjpeg?width=640`, location.origin).href;
  const playlist = `${location.origin}/video/play/${id}/`;
  return [
    ['Moving picture, no script', `<img src="${mjpeg}" alt="${alt}" width="640">`],
    ['Video with hls.js', `<video id="camera" muted autoplay playsinline controls width="640"></video>
<script src="${location.origin}/assets/hls.min.js"></script>
<script>
  const video = document.getElementById('camera');
  const playlist = '${playlist}';
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

/** A row with a label, the text to take, and Copy. */
export function copyRow(label, text, { lines = false } = {}) {
  const row = document.createElement('div');
  row.className = 'cp-row';
  row.dataset.testid = 'address-row';
  const [wrap, caption, button] = ['label', 'span', 'button'].map((tag) => document.createElement(tag));
  const input = document.createElement(lines ? 'textarea' : 'input');
  caption.textContent = label;
  if (!lines) input.type = 'text';
  else input.rows = text.split('\n').length;
  input.readOnly = true;
  input.spellcheck = false;
  input.value = text;
  input.addEventListener('focus', () => input.select());
  button.type = 'button';
  button.dataset.testid = 'copy';
  button.textContent = 'Copy';
  button.setAttribute('aria-label', `Copy: ${label}`);
  button.addEventListener('click', () => copy(input, button, label));
  wrap.append(caption, input);
  row.append(wrap, button);
  return row;
}

async function copy(input, button, label) {
  let copied = true;
  try {
    await navigator.clipboard.writeText(input.value);
  } catch {
    // No clipboard on plain HTTP away from localhost: the old way, with the text selected in any case.
    input.select();
    copied = document.execCommand('copy');
  }
  button.textContent = copied ? 'Copied' : 'Press Ctrl+C';
  button.setAttribute('aria-label', `${button.textContent}: ${label}`);
  if (!copied) input.focus();
  setTimeout(() => {
    button.textContent = 'Copy';
    button.setAttribute('aria-label', `Copy: ${label}`);
  }, COPIED_MS);
}

const escaped = (text) => text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);
