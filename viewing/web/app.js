// This module assembles the viewer page: the list that is kept up to date, the wall or one camera's page, and the dialogs.

import { openCamera } from './camera/page.js';
import { CameraForm } from './camera/form.js';
import { removeWithUndo } from './camera/removal.js';
import { openImport } from './import/dialog.js';
import { announce, announceIn } from './lib/announce.js';
import * as api from './lib/api.js';
import { byId, elementOf } from './lib/dom.js';
import { setKiosk } from './lib/full-screen.js';
import { Live } from './lib/live.js';
import { ROOT } from './lib/root.js';
import { WALL_ROUTE, parseRoute } from './lib/routes.js';
import { WallScreen } from './wall/screen.js';

/** @import { Camera } from './lib/api-types.js' */

/** @param {string} id */
const at = (id) => byId(id, HTMLElement);

announceIn(at('announce'));
at('empty-curl').textContent = `curl -X POST ${location.origin}${ROOT}/video/ \\
  -H 'Content-Type: application/json' \\
  -d '{"url": "rtsp://192.168.1.20:554/stream1", "name": "Front door"}'`;

const live = new Live();
const wall = new WallScreen(live, { onEdit: openEditor, onRemove: remove });

live.addEventListener('link', () => {
  const { state, text } = live.link;
  at('link').dataset.link = document.documentElement.dataset.server = state;
  at('link-text').textContent = text;
});

// --- the screen of the address ---

/** @type {{ slug: string, close: () => void } | null} The camera page that is open. */
let opened = null;
/** @type {string | null} The camera whose page was opened from the wall. */
let leftAt = null;

function showRoute() {
  const { kiosk, slug } = parseRoute(location.hash);
  if (slug && slug === opened?.slug) return;
  opened?.close();
  opened = null;
  at('wall-screen').hidden = slug !== '';
  at('camera-screen').hidden = slug === '';
  if (slug) {
    setKiosk(false);
    leftAt = slug;
    opened = { slug, ...openCamera(slug, at('camera-screen'), live, { onEdit: openEditor, onRemove: remove }) };
    scrollTo(0, 0);
    return;
  }
  if (kiosk) setKiosk(true, { window: true });
  wall.render();
  if (leftAt) wall.reveal(leftAt);
  leftAt = null;
}

addEventListener('hashchange', showRoute);

// --- adding, editing, removing ---

const addDialog = byId('add-dialog', HTMLDialogElement);
const addForm = byId('add-form', HTMLFormElement);
new CameraForm(addForm, {
  submitText: 'Add camera',
  cancel: () => addDialog.close(),
  send: (camera) => api.addCamera(camera),
  done: (camera) => {
    addDialog.close();
    announce('Wall', 'camera added.');
    if (camera) wall.reveal(camera.slug);
    void live.refresh();
  },
});

const editDialog = byId('edit', HTMLDialogElement);
/** Slug of the camera that is edited. */
let edited = '';
const editor = new CameraForm(byId('edit-form', HTMLFormElement), {
  submitText: 'Save',
  submitTestId: 'edit-submit',
  cancel: () => editDialog.close(),
  send: async (change) => (Object.keys(change).length ? api.changeCamera(edited, change) : null),
  done: () => {
    editDialog.close();
    void live.refresh();
  },
});

/** @param {Camera} camera */
function openEditor(camera) {
  edited = camera.slug;
  at('edit-title').textContent = `Edit ${camera.name || camera.slug}`;
  editor.fill(camera);
  editDialog.showModal();
}

function openAdd() {
  addDialog.showModal();
  addForm.querySelector('input')?.focus();
}

/** @param {Camera} camera */
function remove(camera) {
  removeWithUndo(camera, {
    onGone: () => {
      wall.setGone(camera.slug, true);
      if (opened?.slug === camera.slug) location.hash = WALL_ROUTE;
    },
    onBack: ({ undone }) => {
      wall.setGone(camera.slug, false);
      if (undone) wall.reveal(camera.slug);
    },
  });
}

const importCameras = () => openImport({ onDone: () => void live.refresh() });
const helpDialog = byId('help', HTMLDialogElement);

for (const id of ['add', 'empty-add']) at(id).addEventListener('click', openAdd);
for (const id of ['import', 'empty-import']) at(id).addEventListener('click', importCameras);
at('help-button').addEventListener('click', () => helpDialog.showModal());
at('menu').addEventListener('click', () => at('menu').hidePopover());

// --- keys ---

const FIELDS = 'input:not([type="radio"]), textarea, select';

/**
 * Tells whether a key belongs to a field, a dialog, a menu or the browser.
 * @param {KeyboardEvent} event
 */
function isTaken(event) {
  const target = elementOf(event.target);
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return true;
  if (target?.closest(FIELDS) || document.querySelector('dialog[open], :popover-open')) return true;
  return Boolean(target?.matches('[type="radio"]')) && event.key.startsWith('Arrow');
}

addEventListener('keydown', (event) => {
  if (isTaken(event)) return;
  if (event.key === '?') helpDialog.showModal();
  else if (at('wall-screen').hidden) return;
  else if (event.key === '/') at('search').focus();
  else if (!wall.key(event)) return;
  event.preventDefault();
});

showRoute();
live.start();
