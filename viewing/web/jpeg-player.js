// Knows how to show a stream's JPEG frames: one WebSocket, one decoder, one canvas.
// Newest wins: while one frame is being decoded the next waits, and a newer one takes its place. Nothing queues.

import { frameSocket, whyNoPicture } from './api.js';
import { Backoff, SERVER_BACK, inSeconds } from './backoff.js';
import { sentence } from './words.js';

const FPS_WINDOW_MS = 3000;
const SILENCE_MS = 30000; // a running stream that is silent this long has lost its connection (sleep, changed network)
const WATCH_MS = 1000;
const HANDOVER_MS = 4000; // a connection for another size takes over with its first picture, or after this long

export class JpegPlayer {
  #canvas;
  #slug;
  #onVeil; // (text) what to show over the picture; '' when it moves
  #onEvent; // (message) a state change that came with the frames
  #socket = null;
  #retry = null;
  #watch = null;
  #backoff = new Backoff();
  #waiting = null; // the newest frame not yet decoded
  #decoding = false;
  #drawnAt = []; // times of the frames within FPS_WINDOW_MS
  #heardAt = 0;
  #state = '';
  #fps = 0;
  #next = null; // the connection that takes over with its first picture
  #handover = null;

  /** The width that is asked for, in pixels; 0: the stream's own. */
  width = 0;
  lastFrameAt = 0; // performance.now() of the newest picture on the canvas; 0: none

  constructor({ canvas, slug, onVeil, onEvent }) {
    this.#canvas = canvas;
    this.#slug = slug;
    this.#onVeil = onVeil;
    this.#onEvent = onEvent;
  }

  get fps() {
    const since = performance.now() - FPS_WINDOW_MS;
    while (this.#drawnAt.length && this.#drawnAt[0] < since) this.#drawnAt.shift();
    return this.#drawnAt.length / (FPS_WINDOW_MS / 1000);
  }

  start() {
    if (this.#watch !== null) return;
    this.#watch = setInterval(() => this.#checkSilence(), WATCH_MS);
    addEventListener(SERVER_BACK, this.#retryNow);
    this.#connect();
  }

  stop() {
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    this.#retry = null;
    removeEventListener(SERVER_BACK, this.#retryNow);
    this.#watch = null;
    this.#waiting = null;
    this.#drawnAt = [];
    this.#backoff.reset();
    this.#hangUp();
  }

  /** Frames of this width (0: the stream's own) and at most so many a second (0: all); a picture stays meanwhile. */
  ask({ width, fps }) {
    if (width === this.width && fps === this.#fps) return;
    this.width = width;
    this.#fps = fps;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#changeOver();
    else if (this.#socket) this.#connect();
  }

  #connect() {
    clearTimeout(this.#retry);
    this.#retry = null;
    this.#hangUp();
    this.#onVeil(this.lastFrameAt ? 'Reconnecting…' : 'Connecting…');
    this.#socket = this.#dial();
    this.#heardAt = performance.now();
    this.#socket.onopen = () => this.#onVeil('Waiting for the first picture…');
  }

  #dial() {
    const size = { ...(this.width && { width: this.width }), ...(this.#fps && { fps: this.#fps }) };
    const socket = new WebSocket(frameSocket(this.#slug, { events: 1, ...size }));
    socket.binaryType = 'blob';
    socket.onmessage = ({ data }) => {
      this.#heardAt = performance.now();
      if (socket === this.#next && typeof data !== 'string') this.#takeOver();
      if (socket !== this.#socket) return;
      if (typeof data === 'string') this.#hear(data);
      else this.#take(data);
    };
    socket.onclose = (event) => {
      if (socket === this.#next) this.#dropNext();
      else this.#lost(event);
    };
    return socket;
  }

  // Another size without a gap: the old connection shows its pictures until the new one has its first.
  #changeOver() {
    this.#dropNext();
    this.#next = this.#dial();
    this.#handover = setTimeout(() => this.#takeOver(), HANDOVER_MS);
  }

  #takeOver() {
    clearTimeout(this.#handover);
    end(this.#socket);
    this.#socket = this.#next;
    this.#next = null;
  }

  #dropNext() {
    clearTimeout(this.#handover);
    end(this.#next);
    this.#next = null;
  }

  #hangUp() {
    this.#dropNext();
    end(this.#socket);
    this.#socket = null;
  }

  async #lost(event) {
    const socket = this.#socket;
    clearTimeout(this.#retry);
    const wait = this.#backoff.next();
    const veil = (reason) => this.#onVeil(reason ? `${sentence(reason)} Trying again in ${inSeconds(wait)}.` : 'Reconnecting…');
    this.#retry = setTimeout(() => this.#connect(), wait);
    veil(event.reason);
    if (event.reason) return;
    const why = await whyNoPicture(this.#slug);
    if (why && this.#watch !== null && this.#socket === socket) veil(why);
  }

  // The server stops soon: everybody goes to where the next one is, not all in the same moment.
  #leave() {
    clearTimeout(this.#retry);
    this.#dropNext();
    this.#retry = setTimeout(() => this.#connect(), this.#backoff.next());
  }

  #retryNow = () => {
    if (this.#retry === null) return;
    this.#backoff.reset();
    this.#connect();
  };

  #checkSilence() {
    const open = this.#socket?.readyState === WebSocket.OPEN;
    if (open && this.#state === 'running' && performance.now() - this.#heardAt > SILENCE_MS) this.#connect();
  }

  #hear(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    if (message?.type === 'closing') return this.#leave();
    if (message?.type !== 'state') return;
    this.#state = message.state;
    if (message.state !== 'running') this.#onVeil('Waiting for the camera…'); // the tile shows the reason
    this.#onEvent(message);
  }

  async #take(blob) {
    this.#waiting = blob;
    if (this.#decoding) return;
    this.#decoding = true;
    while (this.#waiting) {
      const newest = this.#waiting;
      this.#waiting = null;
      try {
        const picture = await createImageBitmap(newest);
        if (this.#watch !== null) this.#draw(picture);
        picture.close();
      } catch {
        // One broken JPEG is the camera's; the next replaces it.
      }
    }
    this.#decoding = false;
  }

  #draw(picture) {
    const canvas = this.#canvas;
    if (canvas.width !== picture.width || canvas.height !== picture.height) {
      canvas.width = picture.width;
      canvas.height = picture.height;
    }
    canvas.getContext('2d', { alpha: false }).drawImage(picture, 0, 0);
    this.lastFrameAt = performance.now();
    this.#drawnAt.push(this.lastFrameAt);
    this.#backoff.reset();
    this.#onVeil('');
  }
}

function end(socket) {
  if (!socket) return;
  socket.onopen = socket.onmessage = socket.onclose = null;
  // Closing while connecting makes browsers log an error; let the handshake end first.
  if (socket.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
  else socket.close();
}
