// PromQL that several boards share.

/** How many a second; `[$__rate_interval]` is as short as four scrapes allow. */
export const rate = (selector) => `rate(${selector}[$__rate_interval])`;

/** What `share` of the observations of a histogram are quicker than, for each value of the labels `by`. */
export function quantile(share, histogram, { matchers = "", by = [] } = {}) {
  const selector = matchers ? `${histogram}_bucket{${matchers}}` : `${histogram}_bucket`;
  return `histogram_quantile(${share}, sum by (${[...by, "le"].join(", ")}) (${rate(selector)}))`;
}
