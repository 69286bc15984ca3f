// Knows how to tell screen readers what changed without talking all the time: what happens within a few seconds
// becomes one message, and many changes become a number. What somebody just did is said at once.

const GATHER_MS = 2500;
const READ_OUT = 3;

let region = null;
let gathered = new Map(); // about whom -> what is last known
let timer = null;

export function announceIn(element) {
  region = element;
}

export function announce(about, sentence) {
  gathered.set(about, sentence);
  timer ??= setTimeout(say, GATHER_MS);
}

/** The answer to a key or a button of the person themselves. */
export function answer(sentence) {
  region.textContent = sentence;
}

function say() {
  timer = null;
  const news = [...gathered];
  gathered = new Map();
  region.textContent = news.length > READ_OUT
    ? `${news.length} cameras changed their state.`
    : news.map(([about, sentence]) => `${about}: ${sentence}`).join(' ');
}
