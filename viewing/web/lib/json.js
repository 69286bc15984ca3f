// This module reads JSON of messages that may be empty or broken.

/**
 * Returns the object that `text` holds, an empty one for an empty text, and null for anything else.
 * @param {string} text
 * @returns {any}
 */
export function parseObject(text) {
  try {
    const value = JSON.parse(text || '{}');
    return value && typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}
