// This module writes the server's status of a stream for the viewer, line by line.

import { audioText, bitRateText, codecName, fpsText, sizeText } from '../lib/text.js';
import { clockTime, duration } from '../lib/time-format.js';

/** @import { Camera, Status } from '../lib/api-types.js' */

const DEFAULT_ZONE = 'default';

/**
 * Returns the facts as term and value; unknown ones are left out.
 * @param {Partial<Camera>} camera
 * @param {Status} status
 * @param {{ now: number, shown: string }} context `now`: clock of the server in ms since 1970; `shown`: what HLS plays here
 * @returns {[term: string, value: string][]}
 */
export function factsOf(camera, status, { now, shown }) {
  const { video, audio, worker, epoch, restarts, viewers, hls_error: hlsError } = status;
  const since = Date.parse(status.since ?? camera.since ?? '');
  /** @type {[string, string | number | null | undefined][]} */
  const facts = [
    ['State since', Number.isNaN(since) ? '' : `${clockTime(since, now)}, for ${duration(now - since)}`],
    ['Camera', camera.url],
    ['Codec', codecName(video?.codec)],
    ['Size', sizeText(video)],
    ['Frame rate', fpsText(video)],
    ['Bit rate', bitRateText(video?.bitrate)],
    ['Audio', audioText(audio) || (video ? 'none' : '')],
    ['HLS plays', shown],
    ['HLS unavailable', hlsError],
    ['Viewers', viewers && `${viewers.mjpeg ?? 0} JPEG, ${viewers.hls ?? 0} HLS`],
    ['Worker', worker],
    ['Zone', camera.zone || DEFAULT_ZONE],
    ['Epoch', epoch],
    ['Restarts', restarts],
    ['Always on', camera.always_on === undefined ? '' : camera.always_on ? 'yes' : 'no'],
  ];
  return facts.flatMap(([term, value]) => {
    const missing = value === undefined || value === null || value === '';
    return missing ? [] : [[term, String(value)]];
  });
}
