// PromQL that several boards share.

/** How many a second; `[$__rate_interval]` is as short as four scrapes allow. */
export const rate = (selector) => `rate(${selector}[$__rate_interval])`;

/**
 * What `share` of the observations of a histogram are quicker than, for each value of the labels `by`. `over` is long where
 * something is rarely observed: of nothing there is no quantile.
 */
export function quantile(share, histogram, { matchers = "", by = [], over = "$__rate_interval" } = {}) {
  const selector = matchers ? `${histogram}_bucket{${matchers}}` : `${histogram}_bucket`;
  return `histogram_quantile(${share}, sum by (${[...by, "le"].join(", ")}) (rate(${selector}[${over}])))`;
}

/** A line at 0 with the label `none` where `expr` has nothing: no trouble looks different from no data. */
export const orNone = (label, expr) => `${expr} or label_replace(vector(0), "${label}", "none", "", "")`;
