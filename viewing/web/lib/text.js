// This module writes codecs, sizes, rates and messages for viewers.

/** @import { AudioTrack, VideoTrack } from './api-types.js' */

/** @type {[RegExp, string][]} */
const CODECS = [
  [/^(h264|avc[13])/i, 'H.264'],
  [/^(h265|hvc1|hev1)/i, 'H.265'],
  [/^m?jpeg|^mp4v\.6c/i, 'JPEG'],
  [/^(aac|mp4a)/i, 'AAC'],
  [/^pcma/i, 'G.711 A-law'],
  [/^pcmu/i, 'G.711 µ-law'],
];

/**
 * Returns the common name of a codec: H.265 for `h265` and `hvc1.1.6.L93`. An unknown name is returned as it is.
 * @param {string | null | undefined} name of the server or of RFC 6381
 * @returns {string}
 */
export const codecName = (name) => CODECS.find(([pattern]) => pattern.test(name ?? ''))?.[1] ?? name ?? '';

/**
 * Writes an audio track as one line; empty without one.
 * @param {AudioTrack | null | undefined} audio
 */
export function audioText(audio) {
  if (!audio?.codec) return '';
  const { codec, sample_rate: hertz = 0, channels = 0 } = audio;
  const rate = hertz > 0 ? `${Number((hertz / 1000).toFixed(1))} kHz` : '';
  return [codecName(codec), rate, channelText(channels)].filter(Boolean).join(', ');
}

/** @param {number} channels */
function channelText(channels) {
  if (!channels) return '';
  return ['', 'mono', 'stereo'][channels] ?? `${channels} channels`;
}

/**
 * Writes the size of a picture in pixels; empty when it is unknown.
 * @param {{ width?: number | null, height?: number | null } | null | undefined} picture
 */
export const sizeText = (picture) => (picture?.width && picture.height ? `${picture.width} × ${picture.height}` : '');

/**
 * Writes frames per second; empty when they are unknown.
 * @param {VideoTrack | null | undefined} video
 */
export const fpsText = (video) => (Number.isFinite(video?.fps) ? `${Number(Number(video?.fps).toFixed(1))} fps` : '');

/**
 * Writes a bit rate given in bit/s; empty when it is unknown.
 * @param {number | null | undefined} rate
 */
export function bitRateText(rate) {
  if (!rate || !(rate > 0)) return '';
  return rate < 1e6 ? `${Math.round(rate / 1000)} kbit/s` : `${(rate / 1e6).toFixed(1)} Mbit/s`;
}

/**
 * Ends a text with a full stop unless it ends as a sentence already.
 * @param {unknown} text
 */
export function sentence(text) {
  const words = String(text ?? '').trim();
  return words && !/[.!?…]$/.test(words) ? `${words}.` : words;
}

/**
 * Writes a count with its noun.
 * @param {number} count
 * @param {string} noun in the singular; its plural ends with s
 */
export const counted = (count, noun) => `${count} ${noun}${count === 1 ? '' : 's'}`;

/**
 * Returns the message of anything that was thrown.
 * @param {unknown} error
 */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));
