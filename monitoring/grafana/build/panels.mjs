// The kinds of panel that the boards are made of, with the options of Grafana 10 and later that all of them share.

/** The data source is what the person picked at the top of the board. */
export const DATASOURCE = { type: "prometheus", uid: "${datasource}" };

/** `thresholds("green", [1, "red"])`: green, and red from 1 on. */
export function thresholds(base, ...steps) {
  const all = [{ color: base, value: null }, ...steps.map(([value, color]) => ({ color, value }))];
  return { mode: "absolute", steps: all };
}

/** `named({ 0: ["connected", "green"] })`: a text and a colour instead of a number. */
export function named(values) {
  const options = Object.entries(values).map(([value, [text, color]], index) => [value, { text, color, index }]);
  return { type: "value", options: Object.fromEntries(options) };
}

function targets(queries, how) {
  return queries.map(([expr, legendFormat = ""], index) => ({
    refId: String.fromCharCode(65 + index),
    datasource: DATASOURCE,
    editorMode: "code",
    expr,
    legendFormat,
    ...how,
  }));
}

const range = { format: "time_series", instant: false, range: true };
const instant = { format: "time_series", instant: true, range: false };
const rows = { format: "table", instant: true, range: false };

function panel(type, { width, title, description, unit, decimals, min, max, mappings, links, noValue, ...rest }) {
  const { custom = {}, color, steps = thresholds("green"), overrides = [], options, targets, transformations } = rest;
  const defaults = {
    unit,
    decimals,
    min,
    max,
    color,
    thresholds: steps,
    mappings: mappings ?? [],
    links,
    noValue,
    custom,
  };
  const fieldConfig = { defaults: present(defaults), overrides };
  return present({
    width,
    type,
    title,
    description,
    datasource: DATASOURCE,
    fieldConfig,
    options,
    targets,
    transformations,
  });
}

/** Without what is not set. */
function present(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

/**
 * One big number for now, a count unless it says its unit. `queries`: expressions, each with its short name. `zero`: the
 * word for nothing, where nothing is good.
 */
export function stat({ queries, zero, background = true, textMode = "value", ...spec }) {
  return panel("stat", {
    unit: "short",
    decimals: spec.unit ? undefined : 0,
    mappings: zero && [named({ 0: [zero, "green"] })],
    noValue: "no data",
    color: { mode: "thresholds" },
    ...spec,
    targets: targets(queries, instant),
    options: {
      colorMode: background ? "background_solid" : "value",
      graphMode: "none",
      justifyMode: "center",
      orientation: "auto",
      percentChangeColorMode: "standard",
      reduceOptions: { calcs: ["lastNotNull"], fields: "", values: false },
      showPercentChange: false,
      textMode,
      wideLayout: true,
    },
  });
}

/** Lines over time, from zero. `stacked` fills the areas between them; `colors` are those of single legends. */
export function lines({ queries, stacked = false, colors = {}, ...spec }) {
  const overrides = Object.entries(colors).map(([name, fixedColor]) => ({
    matcher: { id: "byName", options: name },
    properties: [{ id: "color", value: { mode: "fixed", fixedColor } }],
  }));
  return panel("timeseries", {
    min: 0,
    color: { mode: "palette-classic-by-name" },
    ...spec,
    overrides: [...overrides, ...(spec.overrides ?? [])],
    custom: {
      drawStyle: "line",
      lineInterpolation: "linear",
      lineWidth: 1,
      fillOpacity: stacked ? 40 : 8,
      showPoints: "never",
      spanNulls: false,
      stacking: { mode: stacked ? "normal" : "none", group: "A" },
      axisBorderShow: false,
      axisLabel: "",
      axisPlacement: "auto",
    },
    targets: targets(queries, range),
    options: {
      legend: { calcs: [], displayMode: "list", placement: "bottom", showLegend: true },
      tooltip: { mode: "multi", sort: "desc" },
    },
  });
}

/** Bars for now, the longest first: for the few that stand out of many. */
export function bars({ queries, ...spec }) {
  return panel("bargauge", {
    min: 0,
    noValue: "none",
    color: { mode: "thresholds" },
    ...spec,
    targets: targets(queries, instant),
    options: {
      displayMode: "basic",
      legend: { calcs: [], displayMode: "list", placement: "bottom", showLegend: false },
      maxVizHeight: 24,
      minVizHeight: 12,
      minVizWidth: 8,
      namePlacement: "left",
      orientation: "horizontal",
      reduceOptions: { calcs: ["lastNotNull"], fields: "", values: false },
      showUnfilled: true,
      sizing: "manual",
      valueMode: "color",
    },
  });
}

/** Coloured spans over time, a row for each series. */
export function timeline({ queries, steps, ...spec }) {
  return panel("state-timeline", {
    color: { mode: "thresholds" },
    steps,
    ...spec,
    custom: { fillOpacity: 80, lineWidth: 0 },
    targets: targets(queries, range),
    options: {
      alignValue: "left",
      legend: { calcs: [], displayMode: "list", placement: "bottom", showLegend: false },
      mergeValues: true,
      rowHeight: 0.8,
      showValue: "auto",
      tooltip: { mode: "single", sort: "none" },
    },
  });
}

/**
 * Rows for now. `columns` says what is shown, in this order: name of the field (a label, or "Value #A" of query A; "Value"
 * when there is one query) and how it looks. `by` is the label by which several queries become one table.
 */
export function table({ queries, columns, by, sort, ...spec }) {
  const shown = Object.keys(columns);
  const renameByName = Object.fromEntries(Object.entries(columns).map(([field, { name }]) => [field, name]));
  const indexByName = Object.fromEntries(shown.map((field, index) => [field, index]));
  const overrides = Object.values(columns).map(({ name, links, mappings, steps, colored, ...look }) => {
    const properties = Object.entries(look).map(([id, value]) => ({ id, value }));
    if (links) properties.push({ id: "links", value: links });
    if (mappings) properties.push({ id: "mappings", value: mappings });
    if (steps) properties.push({ id: "thresholds", value: steps });
    if (colored) properties.push({ id: "custom.cellOptions", value: { type: "color-text" } });
    return { matcher: { id: "byName", options: name }, properties };
  });
  const keep = { id: "filterFieldsByName", options: { include: { names: shown } } };
  const order = { id: "organize", options: { excludeByName: {}, indexByName, renameByName } };
  return panel("table", {
    unit: "short",
    color: { mode: "thresholds" },
    ...spec,
    custom: { align: "auto", cellOptions: { type: "auto" }, inspect: false },
    overrides,
    targets: targets(queries, rows),
    transformations: [...(by ? [{ id: "joinByField", options: { byField: by, mode: "outer" } }] : []), keep, order],
    options: {
      cellHeight: "sm",
      frameIndex: 0,
      showHeader: true,
      sortBy: sort ? [{ displayName: sort, desc: true }] : [],
    },
  });
}
