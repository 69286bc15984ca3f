// The viewer page, put together: the list that is kept up to date, the wall or one camera's page, and the dialogs.

import * as api from './api.js';
import { announce, announceIn } from './announce.js';
import { CameraForm } from './camera-form.js';
import { openCamera } from './camera-page.js';
import { setKiosk } from './full-screen.js';
import { openImport } from './import-dialog.js';
import { Live } from './live.js';
import { removeWithUndo } from './undo.js';
import { WallScreen } from './wall-screen.js';

const at = (id) => document.getElementById(id);

announceIn(at('announce'));
at('empty-curl').textContent = `curl -X POST ${location.origin}/video/ \\
  -H 'Content-Type: application/json' \\
  -d '{"url": "rtsp://192.168.1.20:554/stream1", "name": "Front door"}'`;

const live = new Live();
const wall = new WallScreen(live, { onEdit: openEditor, onRemove: remove });

live.addEventListener('link', ({ detail: { state, text } }) => {
  at('link').dataset.link = document.documentElement.dataset.server = state;
  at('link-text').textContent = text;
});

// --- which screen ---

let opened = null; // the camera page that is open: {slug, close()}
let leftAt = null; // the camera that the wall was left for

function route() {
  const [, screen = '', rest = ''] = location.hash.split('/');
  const slug = screen === 'camera' ? decoded(rest) : '';
  if (slug && slug === opened?.slug) return;
  opened?.close();
  opened = null;
  at('wall-screen').hidden = Boolean(slug);
  at('camera-screen').hidden = !slug;
  if (slug) {
    setKiosk(false);
    leftAt = slug;
    opened = { slug, ...openCamera(slug, at('camera-screen'), live, { onEdit: openEditor, onRemove: remove }) };
    scrollTo(0, 0);
    return;
  }
  if (screen === 'kiosk') setKiosk(true, { window: true });
  wall.render();
  if (leftAt) wall.reveal(leftAt);
  leftAt = null;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

addEventListener('hashchange', route);

// --- adding, editing, removing ---

const addDialog = at('add-dialog');
new CameraForm(at('add-form'), {
  submitText: 'Add camera',
  send: (camera) => api.addCamera(camera),
  done: ({ slug }) => {
    addDialog.close();
    announce('Wall', 'camera added.');
    wall.reveal(slug);
    live.refresh();
  },
});
const { cancel } = at('add-form').elements;
cancel.hidden = false;
cancel.addEventListener('click', () => addDialog.close());

let edited = null;
const editor = new CameraForm(at('edit-form'), {
  submitText: 'Save',
  send: (change) => (Object.keys(change).length ? api.changeCamera(edited.slug, change) : null),
  done: () => {
    at('edit').close();
    live.refresh();
  },
  cancel: () => at('edit').close(),
});

function openEditor(camera) {
  edited = camera;
  at('edit-title').textContent = `Edit ${camera.name || camera.slug}`;
  editor.fill(camera);
  at('edit').showModal();
}

function openAdd() {
  addDialog.showModal();
  at('add-form').elements.url.focus();
}

function remove(camera) {
  removeWithUndo(camera, {
    onGone: () => {
      wall.setGone(camera.slug, true);
      if (opened?.slug === camera.slug) location.hash = '#/';
    },
    onBack: ({ byHand }) => {
      wall.setGone(camera.slug, false);
      if (byHand) wall.reveal(camera.slug);
    },
  });
}

const importCameras = () => openImport({ onDone: () => live.refresh() });

for (const id of ['add', 'empty-add']) at(id).addEventListener('click', openAdd);
for (const id of ['import', 'empty-import']) at(id).addEventListener('click', importCameras);
at('help-button').addEventListener('click', () => at('help').showModal());
at('menu').addEventListener('click', () => at('menu').hidePopover());

// --- keys ---

addEventListener('keydown', (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest('input:not([type="radio"]), textarea, select') || document.querySelector('dialog[open]')) return;
  if (document.querySelector(':popover-open') || (event.target.matches('[type="radio"]') && event.key.startsWith('Arrow'))) return;
  if (event.key === '?') at('help').showModal();
  else if (at('wall-screen').hidden) return;
  else if (event.key === '/') at('search').focus();
  else if (!wall.key(event)) return;
  event.preventDefault();
});

route();
live.start();
