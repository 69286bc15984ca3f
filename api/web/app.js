// The viewer page, put together: the form, the wall, and the loop that asks the server what cameras there are.

import * as api from './api.js';
import { announce, announceIn } from './announce.js';
import { SERVER_BACK } from './backoff.js';
import { CameraForm } from './camera-form.js';
import { choose } from './choices.js';
import { Wall } from './wall.js';

const REFRESH_MS = 2000;
const REFRESH_WHILE_AWAY_MS = 5000; // the server is away

const at = (id) => document.getElementById(id);
const addDetails = at('add');
const addForm = at('add-form');
const editDialog = at('edit');

announceIn(at('announce'));
at('empty-curl').textContent = `curl -X POST ${location.origin}/video/ \\
  -H 'Content-Type: application/json' \\
  -d '{"url": "rtsp://192.168.1.20:554/stream1", "name": "Front door"}'`;

const wall = new Wall(at('wall'), {
  onChanged: refresh,
  onEdit: openEditor,
  onEmptied: () => {
    addDetails.open = true;
    addForm.elements.url.focus();
  },
});

// --- the list, one request at a time ---

let asking = null;
let timer = null;
let first = true;

/** Asks now; when a question is under way, asks again after it, so that the answer is younger than the call. */
async function refresh() {
  clearTimeout(timer);
  while (asking) await asking;
  asking = ask();
  await asking;
}

async function ask() {
  let wait = REFRESH_MS;
  const asked = performance.now();
  try {
    const { cameras, total } = await api.listCameras();
    if (first && cameras.length && matchMedia('(max-width: 639px)').matches) addDetails.open = false;
    first = false;
    wall.show(cameras, asked);
    showCounts(cameras, total);
    showLink('up', 'Connected');
  } catch (error) {
    wait = REFRESH_WHILE_AWAY_MS;
    showLink('down', error.status ? error.message : `${error.message} Trying again…`);
  } finally {
    asking = null;
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(refresh, wait);
  }
}

function showCounts(cameras, total) {
  const running = cameras.filter(({ state }) => state === 'running').length;
  const text = cameras.length ? `${total} ${total === 1 ? 'camera' : 'cameras'}, ${running} running` : '';
  if (at('count').textContent !== text) at('count').textContent = text;
  at('empty').hidden = cameras.length > 0;
  at('partial').hidden = cameras.length >= total;
  at('partial').textContent = `Showing the first ${cameras.length} of ${total} cameras.`;
}

function showLink(state, text) {
  if (state === 'up' && at('link').dataset.link === 'down') dispatchEvent(new Event(SERVER_BACK));
  at('link').dataset.link = state;
  if (at('link-text').textContent !== text) at('link-text').textContent = text;
}

document.addEventListener('visibilitychange', () => {
  if (document.hidden) clearTimeout(timer);
  else refresh();
});
addEventListener('online', refresh);

// --- adding and editing ---

new CameraForm(addForm, {
  submitText: 'Add camera',
  send: (camera) => api.addCamera(camera),
  done: async ({ slug }) => {
    choose(slug, 'both'); // whoever adds a camera wants to see it
    await refresh();
    announce('Wall', 'camera added.');
    if (wall.has(slug)) wall.reveal(slug);
    else addForm.elements.url.focus();
  },
});

let edited = null;
const editor = new CameraForm(at('edit-form'), {
  submitText: 'Save',
  send: (change) => (Object.keys(change).length ? api.changeCamera(edited.slug, change) : null),
  done: () => {
    editDialog.close();
    refresh();
  },
  cancel: () => editDialog.close(),
});

function openEditor(camera) {
  edited = camera;
  at('edit-title').textContent = `Edit ${camera.name || camera.slug}`;
  editor.fill(camera);
  at('edit-form').elements.password.placeholder = 'unchanged';
  editDialog.showModal();
}

refresh();
