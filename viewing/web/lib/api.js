// This module holds the server's HTTP interface: paths, bodies, deadlines and the text of errors. No other module of the
// page calls fetch().

import { parseObject } from './json.js';
import { ROOT, belowRoot } from './root.js';
import { messageOf, sentence } from './text.js';

/** @import { Camera, ImportResult, ProbeResult, Status } from './api-types.js' */

/** A response that is not a success. `message` is a sentence for the viewer. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 without a response
   * @param {string} message
   * @param {{ field?: string, data?: any }} [options] `field`: the input that is wrong; `data`: the body, when it is JSON
   */
  constructor(status, message, { field, data } = {}) {
    super(message);
    this.status = status;
    this.field = field;
    this.data = data;
  }
}

/** @param {unknown} error */
export const isNotFound = (error) => error instanceof ApiError && error.status === 404;

const ANSWER_MS = 8000;
const HLS_ANSWER_MS = 15000; // A request for HLS may have to wait for a worker.
const SNAPSHOT_ANSWER_MS = 20000; // A camera without viewers is opened first.
const PROBE_ANSWER_MS = 45000; // A camera may be slow to refuse.
const IMPORT_ANSWER_MS = 60000; // The list may have 5000 lines.
const MOST_REASON_REQUESTS = 2; // at once: a wall of players that lost one server does not ask it all at once
const MOST_CAMERAS = 1000; // A page with more tiles is of no use.

let reasonRequests = 0;

/**
 * @typedef {object} CallOptions
 * @property {unknown} [body] sent as JSON, unless `type` is set
 * @property {string} [type] content type of a text body
 * @property {AbortSignal} [signal] lets the caller give up; the AbortError reaches the caller
 * @property {boolean} [keepalive] the request outlives the page
 * @property {number} [timeoutMs]
 */

/**
 * @template T
 * @typedef {{ ok: boolean, status: number, statusText: string, headers: Headers, content: T }} Answer
 */

/**
 * @param {string} method
 * @param {string} path
 * @param {CallOptions} [options]
 * @returns {Promise<{ data: any, headers: Headers }>}
 */
async function call(method, path, { body, type, signal, keepalive, timeoutMs = ANSWER_MS } = {}) {
  /** @type {Record<string, string>} */
  const typed = body === undefined ? {} : { 'Content-Type': type ?? 'application/json' };
  const answer = await request(path, timeoutMs, signal, {
    method,
    headers: { Accept: 'application/json', ...typed },
    body: typeof body === 'string' && type ? body : JSON.stringify(body),
    keepalive,
  }, (response) => response.text());
  const data = answer.content ? parseObject(answer.content) : null;
  if (answer.ok) return { data, headers: answer.headers };
  throw problem(answer, data);
}

/**
 * @template T
 * @param {string} path
 * @param {number} timeoutMs
 * @param {AbortSignal | undefined} signal
 * @param {RequestInit} init
 * @param {(response: Response) => Promise<T>} read
 * @returns {Promise<Answer<T>>}
 */
async function request(path, timeoutMs, signal, init, read) {
  const deadline = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(ROOT + path, {
      ...init,
      cache: 'no-store',
      signal: signal ? AbortSignal.any([deadline, signal]) : deadline,
    });
    const { ok, status, statusText, headers } = response;
    return { ok, status, statusText, headers, content: await read(response) };
  } catch (error) {
    if (signal?.aborted) throw error;
    const reason = deadline.aborted ? `The server did not answer within ${timeoutMs / 1000} s.` : 'The server cannot be reached.';
    throw new ApiError(0, reason);
  }
}

/**
 * Reads an error of RFC 9457. The server's own sentence is `error`; a proxy in between may send only `detail` or `title`.
 * @param {{ status: number, statusText: string, headers: Headers }} answer
 * @param {any} data
 */
export function problem({ status, statusText, headers }, data) {
  const text = [data?.error, data?.detail, data?.title].find((one) => typeof one === 'string' && one);
  const field = typeof data?.field === 'string' ? data.field.replace(/^[/#]+/, '').replaceAll('/', '.') : undefined;
  const message = text ?? `The server answered ${status} ${statusText}.`.replace(' .', '.');
  const seconds = Number(headers.get('Retry-After'));
  const again = seconds > 0 && !/try again/i.test(message) ? ` Try again in ${seconds} s.` : '';
  return new ApiError(status, `${again ? sentence(message) : message}${again}`, { field, data });
}

/** @param {string} slug */
const pathOf = (slug) => `/video/${encodeURIComponent(slug)}`;

/**
 * Lists cameras, page by page as the server cuts them, up to `MOST_CAMERAS`. `serverTime` is in ms since 1970.
 * @returns {Promise<{ cameras: Camera[], total: number, serverTime: number }>}
 */
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
  return { cameras, total, serverTime: Date.parse(first.headers.get('Date') ?? '') || Date.now() };
}

/**
 * Returns one camera as an item of the list; undefined when it does not exist.
 * @param {string} slug
 * @returns {Promise<Camera | undefined>}
 */
export async function findCamera(slug) {
  const { data } = await call('GET', `/video/?q=${encodeURIComponent(slug)}`);
  return Array.isArray(data) ? data.find((one) => one.slug === slug) : undefined;
}

/**
 * @param {object} camera
 * @returns {Promise<Camera>}
 */
export const addCamera = async (camera) => (await call('POST', '/video/', { body: camera })).data;

/**
 * @param {string} slug
 * @param {object} change
 * @returns {Promise<Camera>}
 */
export const changeCamera = async (slug, change) => (await call('PATCH', `${pathOf(slug)}/`, { body: change })).data;

/**
 * @param {string} slug
 * @param {{ keepalive?: boolean }} [options] `keepalive`: the request outlives the page
 */
export async function removeCamera(slug, { keepalive } = {}) {
  await call('DELETE', `${pathOf(slug)}/`, { keepalive });
}

/** @param {string} slug */
export async function startCamera(slug) {
  await call('POST', `${pathOf(slug)}/start`, { body: {} });
}

/** @param {string} slug */
export async function stopCamera(slug) {
  await call('POST', `${pathOf(slug)}/stop`, { body: {} });
}

/**
 * @param {string} slug
 * @returns {Promise<Status>}
 */
export const cameraStatus = async (slug) => (await call('GET', `${pathOf(slug)}/status`)).data ?? {};

/**
 * Probes a camera without saving it; with a slug, the stored one with these changes.
 * @param {object} camera
 * @param {{ slug?: string, signal?: AbortSignal }} [options]
 * @returns {Promise<ProbeResult>}
 */
export async function probeCamera(camera, { slug, signal } = {}) {
  const path = slug ? `${pathOf(slug)}/test` : '/video/test';
  return (await call('POST', path, { body: camera, signal, timeoutMs: PROBE_ANSWER_MS })).data ?? {};
}

/**
 * Adds the cameras of a CSV text, all or none, or only its good lines; `dryRun` only checks them.
 * @param {string} csv
 * @param {{ dryRun?: boolean, skipInvalid?: boolean, signal?: AbortSignal }} [options]
 * @returns {Promise<ImportResult>}
 */
export async function importCameras(csv, { dryRun = false, skipInvalid = false, signal } = {}) {
  const query = dryRun ? '?dry_run=1' : skipInvalid ? '?skip_invalid=1' : '';
  const options = { body: csv, type: 'text/csv', signal, timeoutMs: IMPORT_ANSWER_MS };
  return (await call('POST', `/video/import${query}`, options)).data;
}

/**
 * Returns the newest picture.
 * @param {string} slug
 * @returns {Promise<Blob>}
 */
export async function snapshot(slug) {
  const answer = await request(`${pathOf(slug)}/snapshot.jpg`, SNAPSHOT_ANSWER_MS, undefined, {}, (response) => response.blob());
  if (answer.ok) return answer.content;
  throw problem(answer, parseObject(await answer.content.text()));
}

/**
 * Asks for HLS and returns the path of its playlist. Only a path of this server is accepted.
 * @param {string} slug
 */
export async function requestHls(slug) {
  const { data } = await call('GET', `${pathOf(slug)}/`, { timeoutMs: HLS_ANSWER_MS });
  const playlist = new URL(String(data?.playlist_url ?? ''), location.origin);
  if (!data?.playlist_url || playlist.origin !== location.origin) throw new ApiError(0, 'The server named no playlist.');
  return belowRoot(playlist.pathname) + playlist.search;
}

/**
 * Returns one sentence on why a stream shows nothing now, for a player whose connection gave no reason; '' when unknown.
 * @param {string} slug
 * @param {'jpeg' | 'hls'} [kind]
 * @returns {Promise<string>}
 */
export async function outageReason(slug, kind = 'jpeg') {
  if (reasonRequests >= MOST_REASON_REQUESTS) return '';
  reasonRequests += 1;
  try {
    const status = await cameraStatus(slug);
    if (kind === 'hls' && status.hls_error) return status.hls_error;
    if (status.reason) return status.reason;
    return status.state === 'stopped' ? 'The camera is stopped.' : '';
  } catch (error) {
    if (isNotFound(error)) return 'This camera is no longer registered.';
    return error instanceof ApiError && error.status === 0 ? '' : messageOf(error); // The header says that the server is away.
  } finally {
    reasonRequests -= 1;
  }
}

/**
 * Returns the address of a stream's frames over WebSocket.
 * @param {string} slug
 * @param {Record<string, string | number>} [query]
 */
export function frameSocket(slug, query = {}) {
  const text = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)])).toString();
  const origin = location.origin.replace(/^http/, 'ws');
  return `${origin}${ROOT}/ws/stream/${encodeURIComponent(slug)}/${text && `?${text}`}`;
}

/** Server-sent events: every change of every camera, and the ages of their newest pictures every 5 s. */
export const EVENTS_PATH = `${ROOT}/video/events?ages=5`;

/** @param {string} slug */
export const snapshotPath = (slug) => `${ROOT}${pathOf(slug)}/snapshot.jpg`;

/**
 * Opens the server-sent events of one stream, with the age of its newest picture every second.
 * @param {string} slug
 */
export const cameraEvents = (slug) => new EventSource(`${ROOT}/video/events?slug=${encodeURIComponent(slug)}&ages=1`);
