// This module writes the result of a probe: what was found, or which failure it is and which field it is about.

import { codecName, fpsText, sentence, sizeText } from '../lib/text.js';

/** @import { ProbeResult, VideoTrack } from '../lib/api-types.js' */

/** @type {Record<string, [title: string, field?: string]>} By the code of the reason. */
const FAILURES = {
  auth_failed: ['Login refused', 'username'],
  name_not_found: ['Host not found', 'url'],
  unreachable: ['No answer', 'url'],
  refused: ['Connection refused', 'url'],
  not_found: ['No stream at this path', 'url'],
  not_rtsp: ['Not an RTSP server', 'url'],
  busy: ['The camera is busy'],
  unsupported: ['Unsupported video'],
  stalled: ['No picture received'],
  ended: ['Connection closed by the camera'],
  no_worker: ['No free worker'],
};

/**
 * Returns the failure of a probe; `field` is the input that is wrong, if it is one.
 * @param {ProbeResult} result
 * @returns {{ title: string, message: string, field?: string }}
 */
export function failureOf({ reason, state }) {
  const [title, field] = FAILURES[reason?.code ?? ''] ?? ['No picture'];
  return { title, message: sentence(reason?.text) || `The camera sent no picture (${state}).`, field };
}

/** @param {VideoTrack | null | undefined} video */
export const videoText = (video) => [codecName(video?.codec), sizeText(video), fpsText(video)].filter(Boolean).join(', ');

/**
 * Writes how long a probe took; empty when it is unknown.
 * @param {number | undefined} ms
 */
export function waitText(ms = NaN) {
  if (!(ms >= 0)) return '';
  return ms >= 50 ? `${(ms / 1000).toFixed(1)} s` : 'less than 0.1 s';
}
