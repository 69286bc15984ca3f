// Knows what the server's status of a stream says to a person, line by line.

import { clockTime, lasting } from './time-words.js';
import { codecName, soundLine } from './words.js';

const DEFAULT_ZONE = 'default';

/** `[term, value]`; what is not known is left out. `now` is the server's clock, `shown` what HLS plays here. */
export function factsOf(camera, status, { now, shown }) {
  const { video, audio, worker, epoch, restarts, viewers, hls_error: hlsError } = status;
  const since = Date.parse(status.since ?? camera.since);
  return [
    ['State since', Number.isNaN(since) ? '' : `${clockTime(since, now)}, for ${lasting(now - since)}`],
    ['Camera', camera.url],
    ['Codec', codecName(video?.codec)],
    ['Size', video?.width && video?.height ? `${video.width} × ${video.height}` : ''],
    ['Frame rate', Number.isFinite(video?.fps) ? `${Number(video.fps.toFixed(1))} fps` : ''],
    ['Bit rate', video?.bitrate > 0 ? bits(video.bitrate) : ''],
    ['Sound', soundLine(audio) || (video ? 'none' : '')],
    ['HLS plays', shown],
    ['HLS is not made', hlsError],
    ['Viewers', viewers && `${viewers.mjpeg ?? 0} JPEG, ${viewers.hls ?? 0} HLS`],
    ['Worker', worker],
    ['Zone', camera.zone || DEFAULT_ZONE],
    ['Epoch', epoch],
    ['Restarts', restarts],
    ['Runs unwatched', camera.always_on === undefined ? '' : camera.always_on ? 'yes' : 'no'],
  ].filter(([, value]) => value !== undefined && value !== null && value !== '');
}

const bits = (rate) => (rate < 1e6 ? `${Math.round(rate / 1000)} kbit/s` : `${(rate / 1e6).toFixed(1)} Mbit/s`);
