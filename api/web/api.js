// Knows the server's HTTP interface: every path, every body, how long an answer may take, and how an error reads.
// Nothing else on the page calls fetch().

/** An answer that is not a success. `message` is a sentence for the person, `field` the input it is about, if any. */
export class ApiError extends Error {
  constructor(status, message, field) {
    super(message);
    this.status = status; // 0: no answer at all
    this.field = field;
  }
}

const ANSWER_MS = 8000;
const HLS_ANSWER_MS = 15000; // asking for HLS may have to wait for a worker
const MOST_ASKED = 2; // questions why at once: a wall of players that lost one server does not ask it all at once
const MOST_CAMERAS = 1000; // a page with more tiles than this helps nobody

let asked = 0;

async function call(method, path, { body, timeoutMs = ANSWER_MS } = {}) {
  const json = body === undefined ? {} : { 'Content-Type': 'application/json' };
  let response;
  let text;
  try {
    response = await fetch(path, {
      method,
      headers: { Accept: 'application/json', ...json },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
      signal: AbortSignal.timeout(timeoutMs),
    });
    text = await response.text();
  } catch (error) {
    const late = error.name === 'TimeoutError';
    throw new ApiError(0, late ? `The server did not answer within ${timeoutMs / 1000} s.` : 'The server cannot be reached.');
  }
  const data = parse(text);
  if (response.ok) return { data, headers: response.headers };
  throw problem(response, data);
}

function parse(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

// RFC 9457: the server's own sentence is `error`; a proxy in between may know only `detail` or `title`.
function problem(response, data) {
  const said = [data?.error, data?.detail, data?.title].find((one) => typeof one === 'string' && one);
  const field = typeof data?.field === 'string' ? data.field.replace(/^[/#]+/, '').replaceAll('/', '.') : undefined;
  return new ApiError(response.status, said ?? `The server answered ${response.status} ${response.statusText}.`.trim(), field);
}

const of = (slug) => `/video/${encodeURIComponent(slug)}`;

/** All cameras, page by page as the server cuts them: `{cameras, total, serverTime}`; the time in ms since 1970. */
export async function listCameras() {
  const first = await call('GET', `/video/?limit=${MOST_CAMERAS}`);
  const cameras = Array.isArray(first.data) ? first.data : [];
  const total = Number(first.headers.get('X-Total-Count') ?? cameras.length) || cameras.length;
  const page = cameras.length;
  while (page > 0 && cameras.length < Math.min(total, MOST_CAMERAS)) {
    const { data } = await call('GET', `/video/?limit=${page}&offset=${cameras.length}`);
    if (!Array.isArray(data) || data.length === 0) break;
    cameras.push(...data);
  }
  return { cameras, total, serverTime: Date.parse(first.headers.get('Date')) || Date.now() };
}

export const addCamera = async (camera) => (await call('POST', '/video/', { body: camera })).data;
export const changeCamera = async (slug, change) => (await call('PATCH', `${of(slug)}/`, { body: change })).data;
export const removeCamera = async (slug) => void (await call('DELETE', `${of(slug)}/`));
export const startCamera = async (slug) => void (await call('POST', `${of(slug)}/start`, { body: {} }));
export const stopCamera = async (slug) => void (await call('POST', `${of(slug)}/stop`, { body: {} }));
export const cameraStatus = async (slug) => (await call('GET', `${of(slug)}/status`)).data;

/** Asks for HLS and gives the playlist's path. Only a path of this server is accepted. */
export async function askForHls(slug) {
  const { data } = await call('GET', `${of(slug)}/`, { timeoutMs: HLS_ANSWER_MS });
  const playlist = new URL(String(data?.playlist_url ?? ''), location.origin);
  if (!data?.playlist_url || playlist.origin !== location.origin) throw new ApiError(0, 'The server named no playlist.');
  return playlist.pathname + playlist.search;
}

/** One sentence on why a stream shows nothing now, for a player whose connection told it nothing; '' where none is known. */
export async function whyNoPicture(slug, kind = 'jpeg') {
  if (asked >= MOST_ASKED) return '';
  asked += 1;
  try {
    const status = await cameraStatus(slug);
    if (kind === 'hls' && status?.hls_error) return status.hls_error;
    if (status?.reason) return status.reason;
    return status?.state === 'stopped' ? 'The camera is stopped.' : '';
  } catch (error) {
    if (error.status === 404) return 'This camera is no longer registered.';
    return error.status ? error.message : ''; // the header tells when the server is away
  } finally {
    asked -= 1;
  }
}

const socketOrigin = () => location.origin.replace(/^http/, 'ws');
export const frameSocket = (slug, query = {}) => {
  const asked = new URLSearchParams(query).toString();
  return `${socketOrigin()}/ws/stream/${encodeURIComponent(slug)}/${asked && `?${asked}`}`;
};
/** Every change of every camera, and how old their newest pictures are. */
export const EVENTS_PATH = '/video/events?ages=5';
export const snapshotPath = (slug) => `${of(slug)}/snapshot.jpg`;

/** What a person may want to copy into another program: `[label, address]`. */
export const addresses = ({ slug, id }) => [
  ['JPEG over WebSocket', frameSocket(slug)],
  ['HLS playlist', `${location.origin}/video/play/${id}/`],
  ['MJPEG (for an <img> tag or an NVR)', `${location.origin}${of(slug)}/mjpeg`],
  ['Snapshot', `${location.origin}${snapshotPath(slug)}`],
];
