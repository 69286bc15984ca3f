// This module shows a stream's JPEG frames: one WebSocket, one decoder, one canvas. The newest frame wins: while one is
// decoded, one other waits, and a newer frame replaces it. There is no queue.

import { frameSocket, outageReason } from '../lib/api.js';
import { Backoff, SERVER_BACK, inSeconds } from '../lib/backoff.js';
import { parseObject } from '../lib/json.js';
import { sentence } from '../lib/text.js';

/** @import { StateMessage } from '../lib/api-types.js' */

const FPS_WINDOW_MS = 3000;
const SILENCE_MS = 30000; // A running stream that is silent for so long has lost its connection (sleep, network change).
const WATCH_MS = 1000;
const HANDOVER_MS = 4000; // A connection for another size takes over with its first picture, or after this time.

export class JpegPlayer {
  #canvas;
  #slug;
  #onVeil;
  #onState;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Timer | undefined} */
  #retry;
  /** @type {Timer | undefined} */
  #watch;
  #backoff = new Backoff();
  /** @type {Blob | null} The newest frame that is not decoded yet. */
  #waiting = null;
  #decoding = false;
  /** @type {number[]} Times of the frames within FPS_WINDOW_MS. */
  #drawnAt = [];
  #receivedAt = 0;
  #state = '';
  #fps = 0;
  /** @type {WebSocket | null} The connection that takes over with its first picture. */
  #next = null;
  /** @type {Timer | undefined} */
  #handover;

  /** The requested width in pixels; 0: the stream's own. */
  width = 0;
  lastFrameAt = 0; // performance.now() of the newest picture on the canvas; 0: none

  /**
   * @param {object} options
   * @param {HTMLCanvasElement} options.canvas
   * @param {string} options.slug
   * @param {(text: string) => void} options.onVeil text over the picture; '' while it moves
   * @param {(message: StateMessage) => void} options.onState a change of the camera's state that came with the frames
   */
  constructor({ canvas, slug, onVeil, onState }) {
    this.#canvas = canvas;
    this.#slug = slug;
    this.#onVeil = onVeil;
    this.#onState = onState;
  }

  get #running() {
    return this.#watch !== undefined;
  }

  get fps() {
    const since = performance.now() - FPS_WINDOW_MS;
    this.#drawnAt = this.#drawnAt.filter((at) => at >= since);
    return this.#drawnAt.length / (FPS_WINDOW_MS / 1000);
  }

  start() {
    if (this.#running) return;
    this.#watch = setInterval(() => this.#checkSilence(), WATCH_MS);
    addEventListener(SERVER_BACK, this.#retryNow);
    this.#connect();
  }

  stop() {
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    this.#retry = undefined;
    removeEventListener(SERVER_BACK, this.#retryNow);
    this.#watch = undefined;
    this.#waiting = null;
    this.#drawnAt = [];
    this.#backoff.reset();
    this.#disconnect();
  }

  /**
   * Requests frames of this width (0: the stream's own) and at most so many per second (0: all). The picture stays
   * until the first frame of the new size.
   * @param {{ width: number, fps: number }} request
   */
  request({ width, fps }) {
    if (width === this.width && fps === this.#fps) return;
    this.width = width;
    this.#fps = fps;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#changeOver();
    else if (this.#socket) this.#connect();
  }

  #connect() {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#disconnect();
    this.#onVeil(this.lastFrameAt ? 'Reconnecting…' : 'Connecting…');
    this.#socket = this.#open();
    this.#receivedAt = performance.now();
    this.#socket.onopen = () => this.#onVeil('Waiting for the first picture…');
  }

  #open() {
    const size = { ...(this.width && { width: this.width }), ...(this.#fps && { fps: this.#fps }) };
    const socket = new WebSocket(frameSocket(this.#slug, { events: 1, ...size }));
    socket.binaryType = 'blob';
    socket.onmessage = ({ data }) => {
      this.#receivedAt = performance.now();
      if (socket === this.#next && typeof data !== 'string') this.#takeOver();
      if (socket !== this.#socket) return;
      if (typeof data === 'string') this.#takeMessage(data);
      else void this.#takeFrame(data);
    };
    socket.onclose = ({ reason }) => {
      if (socket === this.#next) this.#dropNext();
      else void this.#onLost(reason);
    };
    return socket;
  }

  // The size changes without a gap: the old connection shows its pictures until the new one has its first.
  #changeOver() {
    this.#dropNext();
    this.#next = this.#open();
    this.#handover = setTimeout(() => this.#takeOver(), HANDOVER_MS);
  }

  #takeOver() {
    clearTimeout(this.#handover);
    close(this.#socket);
    this.#socket = this.#next;
    this.#next = null;
  }

  #dropNext() {
    clearTimeout(this.#handover);
    close(this.#next);
    this.#next = null;
  }

  #disconnect() {
    this.#dropNext();
    close(this.#socket);
    this.#socket = null;
  }

  /** @param {string} closeReason */
  async #onLost(closeReason) {
    const socket = this.#socket;
    const wait = this.#backoff.next();
    /** @param {string} reason */
    const veil = (reason) => this.#onVeil(reason ? `${sentence(reason)} Trying again in ${inSeconds(wait)}.` : 'Reconnecting…');
    this.#connectAfter(wait);
    veil(closeReason);
    if (closeReason) return;
    const reason = await outageReason(this.#slug);
    if (reason && this.#running && this.#socket === socket) veil(reason);
  }

  // A server that closes announces it: its viewers move to the next one, not all in the same moment.
  #onClosing() {
    this.#dropNext();
    this.#connectAfter(this.#backoff.next());
  }

  /** @param {number} ms */
  #connectAfter(ms) {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connect(), ms);
  }

  #retryNow = () => {
    if (this.#retry === undefined) return;
    this.#backoff.reset();
    this.#connect();
  };

  #checkSilence() {
    const open = this.#socket?.readyState === WebSocket.OPEN;
    if (open && this.#state === 'running' && performance.now() - this.#receivedAt > SILENCE_MS) this.#connect();
  }

  /** @param {string} text */
  #takeMessage(text) {
    const message = parseObject(text);
    if (message?.type === 'closing') this.#onClosing();
    if (message?.type !== 'state') return;
    this.#state = message.state;
    if (message.state !== 'running') this.#onVeil('Waiting for the camera…'); // The tile shows the reason.
    this.#onState(message);
  }

  /** @param {Blob} frame */
  async #takeFrame(frame) {
    this.#waiting = frame;
    if (this.#decoding) return;
    this.#decoding = true;
    while (this.#waiting) {
      const newest = this.#waiting;
      this.#waiting = null;
      try {
        const picture = await createImageBitmap(newest);
        if (this.#running) this.#draw(picture);
        picture.close();
      } catch {
        // A broken JPEG comes from the camera; the next frame replaces it.
      }
    }
    this.#decoding = false;
  }

  /** @param {ImageBitmap} picture */
  #draw(picture) {
    const canvas = this.#canvas;
    if (canvas.width !== picture.width || canvas.height !== picture.height) {
      canvas.width = picture.width;
      canvas.height = picture.height;
    }
    canvas.getContext('2d', { alpha: false })?.drawImage(picture, 0, 0);
    this.lastFrameAt = performance.now();
    this.#drawnAt = this.#drawnAt.filter((at) => at >= this.lastFrameAt - FPS_WINDOW_MS);
    this.#drawnAt.push(this.lastFrameAt);
    this.#backoff.reset();
    this.#onVeil('');
  }
}

/** @param {WebSocket | null} socket */
function close(socket) {
  if (!socket) return;
  socket.onopen = socket.onmessage = socket.onclose = null;
  // Browsers log an error when a connecting socket is closed, so the handshake ends first.
  if (socket.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
  else socket.close();
}
