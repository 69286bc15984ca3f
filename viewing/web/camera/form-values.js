// This module converts between the settings of a camera and the values of form fields.

/** @import { HlsSettings } from '../lib/api-types.js' */

/** @typedef {Record<string, string | boolean>} FormValues by field name; settings of HLS are named `hls.<name>` */
/** @typedef {number | boolean | string | string[] | null} HlsValue */
/** @typedef {Record<string, string | boolean | Record<string, HlsValue>> & { hls?: Record<string, HlsValue> }} Changes */

/**
 * Returns the body of a request: only the fields that differ from what was shown. An empty field of a new camera, and an
 * untouched one of an existing camera, are not sent.
 * @param {FormValues} shown
 * @param {FormValues} values
 * @returns {Changes}
 */
export function changesOf(shown, values) {
  /** @type {Changes} */
  const changes = {};
  for (const [name, value] of Object.entries(values)) {
    if (value === shown[name]) continue;
    const [, setting] = name.split('hls.');
    if (setting) (changes.hls ??= {})[setting] = hlsValue(setting, String(value));
    else changes[name] = value;
  }
  return changes;
}

/**
 * Returns a setting of HLS as its field shows it; empty for the server's own.
 * @param {HlsSettings[keyof HlsSettings]} value
 */
export function hlsFieldText(value) {
  if (Array.isArray(value)) return value.join(', ') || 'none';
  return value === null || value === undefined ? '' : String(value);
}

/**
 * Returns the value that the text of a field stands for. Text that stands for none is sent as it is, and the server
 * refuses it.
 * @param {string} name
 * @param {string} text
 * @returns {HlsValue}
 */
export function hlsValue(name, text) {
  if (text === '') return null;
  if (name === 'renditions') return text === 'none' ? [] : text.split(/[\s,]+/).filter(Boolean);
  if (name === 'always_on') return text === 'true';
  return /^\d+$/.test(text) ? Number(text) : text;
}
