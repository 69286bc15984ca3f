// This module draws the last minutes of one figure as a small line, with marks for events: one sample a second in a ring
// of fixed size, and a text alternative for screen readers.

import { create } from '../lib/dom.js';

/** @typedef {{ now: number, highest: number, marks: number }} Summary NaN stands for what is unknown */

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 100; // of the drawing, in its own units; its width is one unit per sample
const HEADROOM = 1.15;
const MOST_MARKS = 255; // of one sample, which is one byte

export class Sparkline {
  #size;
  #spans;
  #pushed = 0;
  #drawing;
  #samples; // Ring of the newest `#size` samples; NaN where nothing is known.
  #marks; // Ring of counts.
  #at = 0;
  #least;
  #format;
  #describe;
  #line;
  #area;
  #ticks;
  #top; // Label of the upper edge.

  /**
   * @param {object} options
   * @param {number[]} options.spans in samples: the last is the size of the ring, and the first that holds all samples
   *   is drawn
   * @param {number} options.least upper end of the scale at least, so that noise stays small
   * @param {(value: number) => string} options.format
   * @param {(summary: Summary) => string} options.describe text alternative
   */
  constructor({ spans, least, format, describe }) {
    const size = Math.max(...spans);
    this.#size = size;
    this.#spans = spans;
    this.#samples = new Float32Array(size).fill(NaN);
    this.#marks = new Uint8Array(size);
    this.#least = least;
    this.#format = format;
    this.#describe = describe;
    this.element = create('div', { className: 'spark' });
    this.element.dataset.testid = 'spark';
    this.element.setAttribute('role', 'img');
    this.#drawing = shape('svg', { preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    const grid = shape('path', { class: 'spark-grid', d: `M0 ${HEIGHT / 2}H${size}M0 0.5H${size}` });
    this.#area = shape('path', { class: 'spark-area' });
    this.#line = shape('path', { class: 'spark-line' });
    this.#ticks = shape('path', { class: 'spark-marks' });
    this.#drawing.append(grid, this.#area, this.#line, this.#ticks);
    this.#top = create('span', { className: 'spark-top' });
    this.element.append(this.#drawing, this.#top);
    this.draw();
  }

  /**
   * Adds a sample, and how many events to mark at it.
   * @param {number} value
   * @param {number} [marks]
   */
  push(value, marks = 0) {
    this.#samples[this.#at] = value;
    this.#marks[this.#at] = Math.min(MOST_MARKS, marks);
    this.#at = (this.#at + 1) % this.#size;
    this.#pushed = Math.min(this.#size, this.#pushed + 1);
  }

  /** Draws, and returns what is drawn as figures; `span` is in samples. */
  draw() {
    const samples = unrolled(this.#samples, this.#at);
    const counts = unrolled(this.#marks, this.#at);
    const span = this.#spans.find((one) => one >= this.#pushed) ?? this.#size;
    this.#drawing.setAttribute('viewBox', `${this.#size - span} 0 ${span} ${HEIGHT}`);
    const known = samples.filter((one) => !Number.isNaN(one));
    const highest = known.length ? Math.max(...known) : NaN;
    const top = Math.max(this.#least, (highest || 0) * HEADROOM);
    const { line, area } = paths(samples, top);
    this.#line.setAttribute('d', line);
    this.#area.setAttribute('d', area);
    this.#ticks.setAttribute('d', counts.map((count, x) => (count ? `M${x} 0V${HEIGHT}` : '')).join(''));
    this.#top.textContent = this.#format(top);
    const marks = counts.reduce((sum, count) => sum + count, 0);
    const now = samples[samples.length - 1];
    const text = this.#describe({ now, highest, marks });
    if (this.element.getAttribute('aria-label') !== text) this.element.setAttribute('aria-label', text);
    return { now, highest, marks, span };
  }
}

/**
 * Returns the values of a ring, the oldest first; `at` is the index of the oldest.
 * @param {ArrayLike<number> & Iterable<number>} ring
 * @param {number} at
 */
export function unrolled(ring, at) {
  const values = [...ring];
  return [...values.slice(at), ...values.slice(0, at)];
}

/**
 * Returns the path of the line and of the area under it. NaN interrupts both; a lone sample is a dot.
 * @param {number[]} samples
 * @param {number} top value at the upper edge
 */
export function paths(samples, top) {
  let line = '';
  let area = '';
  let drawing = false;
  samples.forEach((value, x) => {
    if (!Number.isNaN(value)) {
      const y = (HEIGHT - (value / top) * HEIGHT).toFixed(1);
      line += drawing ? `L${x} ${y}` : `M${x} ${y}h0`;
      area += drawing ? `L${x} ${y}` : `M${x} ${HEIGHT}L${x} ${y}`;
    } else if (drawing) area += `L${x - 1} ${HEIGHT}Z`;
    drawing = !Number.isNaN(value);
  });
  if (drawing) area += `L${samples.length - 1} ${HEIGHT}Z`;
  return { line, area };
}

/**
 * @param {string} name
 * @param {Record<string, string>} attributes
 */
function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
