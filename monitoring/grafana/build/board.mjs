// The parts that all boards share, and the places of the panels of one.

import { DATASOURCE } from "./panels.mjs";

/** Columns of Grafana's grid. */
const COLUMNS = 24;
/** The JSON model of Grafana 10; later ones read it. */
const SCHEMA_VERSION = 39;

/** The link of a cell, a bar or a line to another board, for the same time and data source. */
export function link(title, uid, variable, value) {
  const url = `/d/${uid}?var-${variable}=${value}&\${datasource:queryparam}&\${__url_time_range}`;
  return [{ title, url, targetBlank: false }];
}

/** The values of a label, to choose from. `all`: the board begins with all of them. */
export function choice({ name, label, description, query, all }) {
  return {
    type: "query",
    name,
    label,
    description,
    datasource: DATASOURCE,
    query: { qryType: 1, query, refId: "PrometheusVariableQueryEditor-VariableQuery" },
    refresh: 2, // when the time range changes: who was there then
    sort: 7, // natural, so that w2 comes before w10
    multi: true,
    includeAll: all,
    ...(all ? { allValue: ".+", current: { text: "All", value: "$__all" } } : {}),
    regex: "",
    hide: 0,
    options: [],
    skipUrlSync: false,
  };
}

/** A vertical mark at every time that `expr` has a sample. */
export function mark({ name, expr, color, title, text }) {
  return {
    name,
    datasource: DATASOURCE,
    enable: true,
    hide: false,
    iconColor: color,
    expr,
    step: "30s",
    titleFormat: title,
    textFormat: text,
  };
}

const datasource = {
  type: "datasource",
  name: "datasource",
  label: "Prometheus",
  description: "The Prometheus that scrapes this farm",
  query: "prometheus",
  refresh: 1,
  regex: "",
  multi: false,
  includeAll: false,
  hide: 0,
  options: [],
  skipUrlSync: false,
};

/** Prometheus' own record of what its rules found. */
const alerts = mark({
  name: "Alerts",
  expr: 'ALERTS{alertname=~"Rsm.+",alertstate="firing",severity="page"}',
  color: "red",
  title: "{{alertname}}",
  text: "{{role}} {{worker}} {{stream}}",
});

const others = {
  type: "dashboards",
  title: "RSM",
  tags: ["rsm"],
  asDropdown: false,
  icon: "external link",
  includeVars: true,
  keepTime: true,
  targetBlank: false,
  tooltip: "",
  url: "",
};

/**
 * A board. `rows` are `{ title, height, panels }`; panels go on in the next line when the 24 columns are full. The first row has no title: it is what is seen at a glance.
 */
export function board({ uid, title, description, variables = [], marks = [], rows }) {
  const panels = [];
  let y = 0;
  for (const row of rows) {
    if (row.title) {
      const gridPos = { h: 1, w: COLUMNS, x: 0, y };
      panels.push({ id: panels.length + 1, type: "row", title: row.title, collapsed: false, gridPos, panels: [] });
      y += 1;
    }
    let x = 0;
    for (const { width, ...panel } of row.panels) {
      if (x + width > COLUMNS) [x, y] = [0, y + row.height];
      panels.push({ id: panels.length + 1, ...panel, gridPos: { h: row.height, w: width, x, y } });
      x += width;
    }
    y += row.height;
  }
  return {
    uid,
    title,
    description,
    tags: ["rsm"],
    schemaVersion: SCHEMA_VERSION,
    version: 1,
    editable: true,
    graphTooltip: 1, // one crosshair for all panels
    time: { from: "now-1h", to: "now" },
    refresh: "10s",
    timezone: "browser",
    timepicker: { refresh_intervals: ["5s", "10s", "30s", "1m", "5m"] },
    links: [others],
    templating: { list: [datasource, ...variables] },
    annotations: { list: [alerts, ...marks] },
    panels,
  };
}
