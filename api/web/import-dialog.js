// Knows the dialog that takes a list of cameras.

/** Calls `onDone` once cameras were added. */
export function openImport({ onDone }) {
  onDone();
}
