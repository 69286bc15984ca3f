// This module saves data as a file of the viewer.

const KEPT_MS = 10000; // The browser has read the object URL by then.
const MOST_CHARACTERS = 60;

/**
 * @param {Blob} blob
 * @param {string} name
 */
export function download(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}

/**
 * Returns a file name, without its ending, that every file system accepts.
 * @param {string} name
 */
export const fileName = (name) => name.normalize('NFC')
  .replace(/[^\p{L}\p{N}]+/gu, '-')
  .replace(/^-+|-+$/g, '')
  .slice(0, MOST_CHARACTERS) || 'camera';
