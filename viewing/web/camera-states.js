// Knows how a camera's state reads to a person: its name, the group it is counted in, and the sentence that stands over
// the picture of a camera that is away.

import { clockTime, lasting } from './time-words.js';

const STATES = {
  idle: 'Idle',
  starting: 'Starting',
  running: 'Live',
  reconnecting: 'Away',
  auth_failed: 'Login refused',
  failed: 'Failed',
  stopped: 'Stopped',
};

/** What the wall can be narrowed to: `[key, label, states]`. */
export const GROUPS = [
  ['all', 'All', null],
  ['live', 'Live', ['running']],
  ['away', 'Away', ['reconnecting', 'failed']],
  ['refused', 'Login refused', ['auth_failed']],
  ['starting', 'Starting', ['starting']],
  ['idle', 'Idle', ['idle']],
  ['stopped', 'Stopped', ['stopped']],
];

// What a person has to look at comes first when the wall is sorted by state.
const URGENCY = ['failed', 'auth_failed', 'reconnecting', 'starting', 'running', 'idle', 'stopped'];

const AWAY = {
  reconnecting: 'Camera unreachable',
  failed: 'Camera failed',
  auth_failed: 'Login refused',
  stopped: 'Stopped',
};

export const stateName = (state) => STATES[state] ?? String(state ?? '');
export const groupOf = (state) => GROUPS.find(([, , states]) => states?.includes(state))?.[0] ?? 'idle';
export const urgency = (state) => (URGENCY.indexOf(state) + URGENCY.length + 1) % (URGENCY.length + 1);

/** The server's reason as a sentence's worth of text, whether it came as words or as `{code, text}`. */
export const reasonText = (reason) => String(reason?.text ?? reason ?? '');

/** `{what, lasting, since}` for a camera that shows nothing new; null for one that does, or is about to. */
export function awayWords({ state, since }, now) {
  const what = AWAY[state];
  if (!what) return null;
  const began = Date.parse(since);
  if (Number.isNaN(began)) return { what, lasting: '', since: '' };
  return { what, lasting: `for ${lasting(now - began)}`, since: `since ${clockTime(began, now)}` };
}
