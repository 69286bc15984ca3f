// Knows how to draw the last minutes of one figure as a small line, with marks for what happened: one sample a second
// in a ring that never grows, and the same in words for whoever does not see it.

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 100; // of the drawing, in its own units; its width is one unit per sample
const HEADROOM = 1.15;

export class Sparkline {
  #size;
  #spans;
  #pushed = 0;
  #drawing;
  #samples; // ring of the newest `#size` samples, NaN where nothing is known
  #marks; // ring of counts
  #at = 0;
  #least; // the scale never shows less than this, so that noise stays small
  #format;
  #describe;
  #line;
  #area;
  #ticks;
  #top; // says what the upper edge stands for

  /**
   * The last of `spans` samples are kept; the line is drawn over the first of them that holds all there are yet. The
   * scale reaches at least `least`; `format(value)` writes one; `describe({now, most, marks})` is the text alternative,
   * with NaN for what is not known.
   */
  constructor({ spans, least, format, describe }) {
    const size = spans.at(-1);
    this.#size = size;
    this.#spans = spans;
    this.#samples = new Float32Array(size).fill(NaN);
    this.#marks = new Uint8Array(size);
    this.#least = least;
    this.#format = format;
    this.#describe = describe;
    this.element = document.createElement('div');
    this.element.className = 'spark';
    this.element.dataset.testid = 'spark';
    this.element.setAttribute('role', 'img');
    this.#drawing = shape('svg', { preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    const half = shape('path', { class: 'spark-grid', d: `M0 ${HEIGHT / 2}H${size}M0 0.5H${size}` });
    this.#area = shape('path', { class: 'spark-area' });
    this.#line = shape('path', { class: 'spark-line' });
    this.#ticks = shape('path', { class: 'spark-marks' });
    this.#drawing.append(half, this.#area, this.#line, this.#ticks);
    this.#top = document.createElement('span');
    this.#top.className = 'spark-top';
    this.element.append(this.#drawing, this.#top);
    this.draw();
  }

  /** The next sample, and how often that happened which is marked. */
  push(value, marks = 0) {
    this.#samples[this.#at] = value;
    this.#marks[this.#at] = Math.min(255, marks);
    this.#at = (this.#at + 1) % this.#size;
    this.#pushed = Math.min(this.#size, this.#pushed + 1);
  }

  /** What is drawn, as figures; `span`: over how many samples. */
  draw() {
    const span = this.#spans.find((one) => one >= this.#pushed);
    this.#drawing.setAttribute('viewBox', `${this.#size - span} 0 ${span} ${HEIGHT}`);
    const seen = this.#samples.filter((one) => !Number.isNaN(one));
    const most = seen.length ? seen.reduce((one, other) => Math.max(one, other)) : NaN;
    const top = Math.max(this.#least, (most || 0) * HEADROOM);
    let line = '';
    let area = '';
    let ticks = '';
    let marks = 0;
    let begun = -1;
    for (let x = 0; x <= this.#size; x += 1) {
      const at = (this.#at + x) % this.#size;
      const value = x < this.#size ? this.#samples[at] : NaN;
      if (x < this.#size && this.#marks[at]) {
        marks += this.#marks[at];
        ticks += `M${x} 0V${HEIGHT}`;
      }
      if (!Number.isNaN(value)) {
        const y = (HEIGHT - (value / top) * HEIGHT).toFixed(1);
        line += begun < 0 ? `M${x} ${y}h0` : `L${x} ${y}`; // h0: a lone sample is a dot
        area += begun < 0 ? `M${x} ${HEIGHT}L${x} ${y}` : `L${x} ${y}`;
        if (begun < 0) begun = x;
      } else if (begun >= 0) {
        area += `L${x - 1} ${HEIGHT}Z`;
        begun = -1;
      }
    }
    this.#line.setAttribute('d', line);
    this.#area.setAttribute('d', area);
    this.#ticks.setAttribute('d', ticks);
    this.#top.textContent = this.#format(top);
    const now = this.#samples[(this.#at + this.#size - 1) % this.#size];
    const words = this.#describe({ now, most, marks });
    if (this.element.getAttribute('aria-label') !== words) this.element.setAttribute('aria-label', words);
    return { now, most, marks, span };
  }
}

function shape(name, attributes) {
  const one = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  return one;
}
