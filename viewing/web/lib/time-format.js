// This module writes times and durations, in the viewer's own time zone and locale.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * Writes how old a picture is, with a tenth of a second below ten seconds.
 * @param {number} ms
 */
export function ago(ms) {
  if (ms < 10 * SECOND) return `${(Math.max(0, ms) / SECOND).toFixed(1)} s ago`;
  return `${duration(ms)} ago`;
}

/**
 * Writes a duration as `42 s`, `3 min`, `5 h 12 min` or `3 days`.
 * @param {number} ms
 */
export function duration(ms) {
  const length = Math.max(0, ms);
  if (length < 2 * MINUTE) return `${Math.round(length / SECOND)} s`;
  if (length < HOUR) return `${Math.floor(length / MINUTE)} min`;
  if (length < 2 * DAY) {
    const minutes = Math.floor((length % HOUR) / MINUTE);
    return `${Math.floor(length / HOUR)} h${minutes ? ` ${minutes} min` : ''}`;
  }
  return `${Math.floor(length / DAY)} days`;
}

const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const dayAndTime = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });

/**
 * Writes the time of day, with the day unless it is the day of `now`; both are ms since 1970.
 * @param {number} at
 * @param {number} now
 */
export function clockTime(at, now) {
  const sameDay = new Date(at).toDateString() === new Date(now).toDateString();
  return (sameDay ? time : dayAndTime).format(at);
}

/**
 * Writes a local time as it stands in a file name: `2026-03-09-070501`.
 * @param {Date} at
 */
export function fileStamp(at) {
  const day = [at.getFullYear(), at.getMonth() + 1, at.getDate()].map(twoDigits).join('-');
  return `${day}-${[at.getHours(), at.getMinutes(), at.getSeconds()].map(twoDigits).join('')}`;
}

/** @param {number} number */
const twoDigits = (number) => String(number).padStart(2, '0');
