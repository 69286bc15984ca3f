// The states of a stream, with the colour that each has on every board.

import { named } from "./panels.mjs";

const COLORS = {
  running: "green",
  starting: "blue",
  idle: "#7b8087",
  stopped: "#44474d",
  reconnecting: "orange",
  auth_failed: "purple",
  failed: "red",
};

/** In which a camera has no picture although somebody wants one. */
export const NOT_WELL = "reconnecting|auth_failed|failed";

/** By legend. */
export const stateColors = COLORS;

/** For cells that hold the name of a state. */
export const stateNames = [
  named(Object.fromEntries(Object.entries(COLORS).map(([state, color]) => [state, [state, color]]))),
];

/** For values of [`stateNumber`]. */
export const stateNumbers = [
  named(Object.fromEntries(Object.entries(COLORS).map(([state, color], index) => [index, [state, color]]))),
];

/** A number for the state of each of the chosen streams: colours over time want a value, and the state is a label. */
export function stateNumber(matchers) {
  const one = (state, index) => `${index} * rsm_stream_state{role="api",state="${state}",${matchers}}`;
  return `max by (stream) (\n  ${Object.keys(COLORS).map(one).join("\n  or ")}\n)`;
}
