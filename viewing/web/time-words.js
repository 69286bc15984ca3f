// Knows how times and durations read, in the viewer's own zone and manner.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How old a picture is: exact while it matters. */
export function ago(ms) {
  if (ms < 10 * SECOND) return `${(Math.max(0, ms) / SECOND).toFixed(1)} s ago`;
  return `${lasting(ms)} ago`;
}

/** `42 s`, `3 min`, `5 h 12 min`, `3 days`. */
export function lasting(ms) {
  const of = Math.max(0, ms);
  if (of < 2 * MINUTE) return `${Math.round(of / SECOND)} s`;
  if (of < HOUR) return `${Math.floor(of / MINUTE)} min`;
  if (of < 2 * DAY) return [`${Math.floor(of / HOUR)} h`, minutes(of)].filter(Boolean).join(' ');
  return `${Math.floor(of / DAY)} days`;
}

function minutes(of) {
  const left = Math.floor((of % HOUR) / MINUTE);
  return left ? `${left} min` : '';
}

const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const dayAndTime = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });

/** The time of day, with the day when it is not today's. */
export function clockTime(at, now) {
  const sameDay = new Date(at).toDateString() === new Date(now).toDateString();
  return (sameDay ? time : dayAndTime).format(at);
}
