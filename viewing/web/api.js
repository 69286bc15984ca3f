// Knows the server's HTTP interface: every path, every body, how long an answer may take, and how an error reads.
// Nothing else on the page calls fetch().

import { sentence } from './words.js';

/** An answer that is not a success. `message` is a sentence for the person, `field` the input it is about, if any. */
export class ApiError extends Error {
  constructor(status, message, { field, data } = {}) {
    super(message);
    this.status = status; // 0: no answer at all
    this.field = field;
    this.data = data; // the body, when it was JSON
  }
}

const ANSWER_MS = 8000;
const HLS_ANSWER_MS = 15000; // asking for HLS may have to wait for a worker
const SNAPSHOT_ANSWER_MS = 20000; // a camera that nobody watches is opened first
const TEST_ANSWER_MS = 45000; // a camera may be slow to say no
const IMPORT_ANSWER_MS = 60000; // 5000 lines
const MOST_ASKED = 2; // questions why at once: a wall of players that lost one server does not ask it all at once
const MOST_CAMERAS = 1000; // a page with more tiles than this helps nobody

let asked = 0;

// `body` is sent as JSON, unless `type` says what it is. `signal` lets the caller give up: the AbortError is his.
async function call(method, path, { body, type, signal, keepalive, timeoutMs = ANSWER_MS } = {}) {
  const typed = body === undefined ? {} : { 'Content-Type': type ?? 'application/json' };
  const response = await answerOf(path, timeoutMs, signal, {
    method,
    headers: { Accept: 'application/json', ...typed },
    body: body === undefined || type ? body : JSON.stringify(body),
    keepalive,
  }, (one) => one.text());
  const data = parse(response.content);
  if (response.ok) return { data, headers: response.headers };
  throw problem(response, data);
}

async function answerOf(path, timeoutMs, signal, request, read) {
  const late = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(path, {
      ...request,
      cache: 'no-store',
      signal: signal ? AbortSignal.any([late, signal]) : late,
    });
    const { ok, status, statusText, headers } = response;
    return { ok, status, statusText, headers, content: await read(response) };
  } catch (error) {
    if (signal?.aborted) throw error;
    const why = late.aborted ? `The server did not answer within ${timeoutMs / 1000} s.` : 'The server cannot be reached.';
    throw new ApiError(0, why);
  }
}

function parse(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

// RFC 9457: the server's own sentence is `error`; a proxy in between may know only `detail` or `title`.
function problem({ status, statusText, headers }, data) {
  const said = [data?.error, data?.detail, data?.title].find((one) => typeof one === 'string' && one);
  const field = typeof data?.field === 'string' ? data.field.replace(/^[/#]+/, '').replaceAll('/', '.') : undefined;
  const message = said ?? `The server answered ${status} ${statusText}.`.replace(' .', '.');
  const seconds = Number(headers.get('Retry-After'));
  const again = seconds > 0 && !/try again/i.test(message) ? ` Try again in ${seconds} s.` : '';
  return new ApiError(status, `${again ? sentence(message) : message}${again}`, { field, data });
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

/** One camera as the list shows it; undefined when there is none. */
export async function findCamera(slug) {
  const { data } = await call('GET', `/video/?q=${encodeURIComponent(slug)}`);
  return Array.isArray(data) ? data.find((one) => one.slug === slug) : undefined;
}

export const addCamera = async (camera) => (await call('POST', '/video/', { body: camera })).data;
export const changeCamera = async (slug, change) => (await call('PATCH', `${of(slug)}/`, { body: change })).data;
/** `keepalive`: the page is about to go, the request must not go with it. */
export const removeCamera = async (slug, { keepalive } = {}) => void (await call('DELETE', `${of(slug)}/`, { keepalive }));
export const startCamera = async (slug) => void (await call('POST', `${of(slug)}/start`, { body: {} }));
export const stopCamera = async (slug) => void (await call('POST', `${of(slug)}/stop`, { body: {} }));
export const cameraStatus = async (slug) => (await call('GET', `${of(slug)}/status`)).data;

/** Looks at a camera without saving it; with a slug, at the stored one with these changes. */
export const testCamera = async (camera, { slug, signal } = {}) =>
  (await call('POST', slug ? `${of(slug)}/test` : '/video/test', { body: camera, signal, timeoutMs: TEST_ANSWER_MS })).data;

/** Adds the cameras of a CSV text, all or none, or only its good lines; `dryRun` only judges them. */
export async function importCameras(csv, { dryRun = false, skipInvalid = false, signal } = {}) {
  const query = dryRun ? '?dry_run=1' : skipInvalid ? '?skip_invalid=1' : '';
  const options = { body: csv, type: 'text/csv', signal, timeoutMs: IMPORT_ANSWER_MS };
  return (await call('POST', `/video/import${query}`, options)).data;
}

/** The newest picture as a Blob. */
export async function snapshot(slug) {
  const response = await answerOf(snapshotPath(slug), SNAPSHOT_ANSWER_MS, undefined, {}, (one) => one.blob());
  if (response.ok) return response.content;
  throw problem(response, parse(await response.content.text()));
}

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
/** Server-sent events of one stream, with the age of its newest picture every second. */
export const cameraEvents = (slug) => new EventSource(`/video/events?slug=${encodeURIComponent(slug)}&ages=1`);
