// Knows how a camera is removed so that it can be taken back.

import { removeCamera } from './api.js';

/** Calls `onGone` at once, and `onBack` when the camera stays after all. */
export function removeWithUndo({ slug }, { onGone, onBack }) {
  onGone();
  removeCamera(slug).catch((error) => error.status === 404 || onBack(error));
}
