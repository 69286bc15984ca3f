// This module holds the words for a camera's state: its name, the group that it counts in, and the text over the picture
// of a camera that shows nothing new.

import { clockTime, duration } from './time-format.js';

/** @import { Reason } from './api-types.js' */

/** @type {Record<string, string>} */
const STATES = {
  idle: 'Idle',
  starting: 'Starting',
  running: 'Live',
  reconnecting: 'Offline',
  auth_failed: 'Login refused',
  failed: 'Failed',
  stopped: 'Stopped',
};

/** @type {[key: string, label: string, states: string[] | null][]} Filters of the wall; null selects every state. */
export const GROUPS = [
  ['all', 'All', null],
  ['live', 'Live', ['running']],
  ['away', 'Offline', ['reconnecting', 'failed']],
  ['refused', 'Login refused', ['auth_failed']],
  ['starting', 'Starting', ['starting']],
  ['idle', 'Idle', ['idle']],
  ['stopped', 'Stopped', ['stopped']],
];

// States that need attention come first when the wall is sorted by state.
const URGENCY = ['failed', 'auth_failed', 'reconnecting', 'starting', 'running', 'idle', 'stopped'];

/** @type {Record<string, string>} */
const OUTAGES = {
  reconnecting: 'Camera unreachable',
  failed: 'Camera failed',
  auth_failed: 'Login refused',
  stopped: 'Stopped',
};

/** @param {string} state */
export const stateName = (state) => STATES[state] ?? state;

/** @param {string} state */
export const groupOf = (state) => GROUPS.find(([, , states]) => states?.includes(state))?.[0] ?? 'idle';

/**
 * Returns the rank of a state; unknown states come last.
 * @param {string} state
 */
export function urgency(state) {
  const rank = URGENCY.indexOf(state);
  return rank < 0 ? URGENCY.length : rank;
}

/**
 * Returns the server's reason as text, whether it came as text or as an object.
 * @param {Reason | string | null | undefined} reason
 */
export const reasonText = (reason) => (typeof reason === 'object' ? reason?.text : reason) ?? '';

/**
 * Returns the words for a camera that shows nothing new; null for one that is live or about to be.
 * @param {{ state?: string, since?: string }} camera
 * @param {number} now clock of the server, ms since 1970
 * @returns {{ what: string, lasting: string, since: string } | null}
 */
export function outageText({ state = '', since = '' }, now) {
  const what = OUTAGES[state];
  if (!what) return null;
  const began = Date.parse(since);
  if (Number.isNaN(began)) return { what, lasting: '', since: '' };
  return { what, lasting: `for ${duration(now - began)}`, since: `since ${clockTime(began, now)}` };
}
