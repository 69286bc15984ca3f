// Knows how the server's and the browser's names read to a person.

const CODECS = [
  [/^(h264|avc[13])/i, 'H.264'],
  [/^(h265|hvc1|hev1)/i, 'H.265'],
  [/^m?jpeg|^mp4v\.6c/i, 'JPEG'],
  [/^(aac|mp4a)/i, 'AAC'],
  [/^pcma/i, 'G.711 A-law'],
  [/^pcmu/i, 'G.711 µ-law'],
];

/** `h265` and `hvc1.1.6.L93` are H.265; what is not known stays as it is. */
export const codecName = (name) => CODECS.find(([fits]) => fits.test(name ?? ''))?.[1] ?? name ?? '';

/** `{codec, sample_rate, channels}` as one line. */
export function soundLine(audio) {
  if (!audio?.codec) return '';
  const rate = audio.sample_rate > 0 ? `${Number((audio.sample_rate / 1000).toFixed(1))} kHz` : '';
  const channels = { 1: 'mono', 2: 'stereo' }[audio.channels] ?? (audio.channels ? `${audio.channels} channels` : '');
  return [codecName(audio.codec), rate, channels].filter(Boolean).join(', ');
}

/** With a full stop, unless it ends as a sentence already. */
export function sentence(text) {
  const words = String(text ?? '').trim();
  return words && !/[.!?…]$/.test(words) ? `${words}.` : words;
}
