// The farm: is everything well, and if not, which part is it? Every query here gives as many series with ten thousand
// cameras as with ten: states, reasons, workers, or the worst few.

import { board, link, mark } from "../board.mjs";
import { orNone, quantile } from "../expressions.mjs";
import { bars, lines, named, stat, table, thresholds } from "../panels.mjs";
import { NOT_WELL, stateColors, stateNames } from "../states.mjs";
import { glance } from "./farm-glance.mjs";

/** Longest lists of cameras that this board shows. */
const ROWS = 50;

const toStream = link("Open this camera", "rsm-stream", "stream", "${__value.raw}");
const toWorker = link("Open this worker", "rsm-worker", "worker", "${__value.raw}");

const NOT_WELL_STATE = `max by (stream, state) (rsm_stream_state{role="api",state=~"${NOT_WELL}"})`;
/** Larger than any age: a camera whose picture nobody has seen comes first. */
const NEVER = 1e9;

const wrong = [
  table({
    width: 12,
    title: "Cameras that are not well",
    description:
      `The ${ROWS} that are without a picture for longest, of those that somebody wants. A click opens the camera. Empty is good. ` +
      "The reason is in restarts by reason, and in GET /video/<camera>/status.",
    queries: [
      [
        `topk(${ROWS},\n  ${NOT_WELL_STATE}\n    * on (stream) group_left () max by (stream) (rsm_stream_last_frame_age_seconds{role="api"})\n` +
          `  or on (stream) ${NEVER} * ${NOT_WELL_STATE}\n)`,
      ],
    ],
    columns: {
      stream: { name: "Camera", links: toStream },
      state: { name: "State", mappings: stateNames, colored: true },
      Value: {
        name: "No picture for",
        unit: "s",
        decimals: 0,
        mappings: [{ type: "range", options: { from: NEVER, to: null, result: { text: "never had one", index: 0 } } }],
      },
    },
    sort: "No picture for",
  }),
  table({
    width: 12,
    title: "Alerts",
    description: `At most ${ROWS} of the alerts that fire. monitoring/runbook.md has a section for each name. Empty is good.`,
    queries: [
      [
        `topk(${ROWS}, max by (severity, alertname, role, worker, stream) (ALERTS{alertname=~"Rsm.+",alertstate="firing"}))`,
      ],
    ],
    columns: {
      severity: {
        name: "Severity",
        mappings: [named({ page: ["page", "red"], ticket: ["ticket", "orange"] })],
        colored: true,
      },
      alertname: { name: "Alert" },
      stream: { name: "Camera", links: toStream },
      worker: { name: "Worker", links: toWorker },
      role: { name: "Role" },
    },
  }),
];

const cameras = [
  lines({
    width: 12,
    title: "Cameras by state",
    description:
      "Every registered camera. Idle: nobody watches it. Starting for long: no worker has room. Reconnecting and failed: the " +
      "camera or the way to it. A step down of running and up of reconnecting tells when it began.",
    unit: "short",
    decimals: 0,
    stacked: true,
    colors: stateColors,
    queries: [['sum by (state) (rsm_streams{role="api"})', "{{state}}"]],
  }),
  lines({
    width: 12,
    title: "Restarts by reason",
    description:
      "Camera sessions that ended or could not begin, each minute. unreachable, refused, name_not_found: network or power; " +
      "auth_failed: credentials; busy: the camera has no session left; stalled, ended: the camera stopped sending; " +
      "protocol, unsupported: its firmware; pipeline: ours, see the worker's log.",
    unit: "cpm",
    queries: [["60 * sum by (reason) (worker:rsm_stream_restarts:rate5m)", "{{reason}}"]],
  }),
  bars({
    width: 8,
    title: "Oldest pictures",
    description:
      "The ten cameras whose last picture is oldest, of those that a worker has. Above 5 s a camera is being reconnected; " +
      "one that is old and still said to run is a fault of ours (RsmFramesStale).",
    unit: "s",
    decimals: 0,
    steps: thresholds("green", [5, "orange"], [30, "red"]),
    links: link("Open this camera", "rsm-stream", "stream", "${__field.labels.stream}"),
    queries: [['topk(10, max by (stream) (rsm_stream_last_frame_age_seconds{role="api"}))', "{{stream}}"]],
  }),
  lines({
    width: 8,
    title: "Time to start",
    description:
      "From the moment that a camera is wanted, or has to be placed anew, until it runs: half of them, and nine of " +
      "ten, were quicker in the last 15 minutes. Usual is 1 to 3 s. Slow for all: no room, or busy workers; slow for few: those cameras.",
    unit: "s",
    queries: [
      ["max(rsm:stream_start_seconds:p90_15m)", "90 %"],
      [quantile(0.5, "rsm_stream_start_seconds", { over: "15m" }), "50 %"],
    ],
  }),
  lines({
    width: 8,
    title: "Changes of owners",
    description:
      "How often a camera went to another worker, each minute. claimed, released: cameras came and went; failover: a " +
      "worker died; drain: one was asked to leave; rebalance: load was spread; quarantined: a camera that kills workers was set aside.",
    unit: "cpm",
    queries: [["60 * sum by (reason) (rate(rsm_claim_changes_total[$__rate_interval]))", "{{reason}}"]],
  }),
];

const byWorker = (expr) => `max by (worker) (${expr})`;
const share = {
  unit: "percentunit",
  decimals: 0,
  steps: thresholds("green", [0.8, "orange"], [0.95, "red"]),
  colored: true,
};
const workers = [
  table({
    width: 24,
    title: "Workers",
    description:
      "Every worker that lives. Load is the share of its capacity that is in use, disk the share of what HLS may take. " +
      "A click opens the worker.",
    by: "worker",
    queries: [
      [byWorker('rsm_claims{role="worker"}')],
      [byWorker("rsm_worker_capacity")],
      [byWorker("rsm_worker_load_ratio")],
      [byWorker('rate(process_cpu_seconds_total{role="worker"}[$__rate_interval])')],
      [byWorker('process_resident_memory_bytes{role="worker"}')],
      [byWorker("instance:rsm_hls_disk_used:ratio")],
      [byWorker("rsm_worker_draining")],
      [byWorker('time() - process_start_time_seconds{role="worker"}')],
    ],
    columns: {
      worker: { name: "Worker", links: toWorker },
      "Value #A": { name: "Cameras", decimals: 0 },
      "Value #B": { name: "Capacity", decimals: 0 },
      "Value #C": { name: "Load", ...share },
      "Value #D": { name: "CPU", unit: "suffix: cores", decimals: 2 },
      "Value #E": { name: "Memory", unit: "bytes", decimals: 1 },
      "Value #F": { name: "Disk", ...share },
      "Value #G": { name: "Draining", mappings: [named({ 0: ["no", "text"], 1: ["yes", "blue"] })], colored: true },
      "Value #H": { name: "Up for", unit: "s", decimals: 1 },
    },
    sort: "Load",
  }),
  lines({
    width: 12,
    title: "Capacity",
    description:
      "Cameras that workers run, and how many they would take in all and now. Room below capacity less cameras: a worker " +
      "drains, or its machine is too full.",
    unit: "short",
    decimals: 0,
    colors: { cameras: "green", capacity: "blue", room: "orange" },
    queries: [
      ['sum(rsm_claims{role="api"})', "cameras"],
      ["sum(rsm_farm_capacity)", "capacity"],
      ["sum(rsm_farm_room)", "room"],
    ],
  }),
  lines({
    width: 12,
    title: "Workers by state",
    description:
      "live: heard by the API; draining: asked to leave, hands its cameras on; lost: went silent, forgotten after 15 minutes.",
    unit: "short",
    decimals: 0,
    stacked: true,
    colors: { live: "green", draining: "blue", lost: "red" },
    queries: [["sum by (state) (rsm_workers)", "{{state}}"]],
  }),
];

const media = [
  lines({
    width: 8,
    title: "In and out",
    description: "Bytes from the cameras, and of frames to viewers over WebSocket and multipart. HLS is not in it.",
    unit: "Bps",
    colors: { "from cameras": "green", "to viewers": "blue" },
    queries: [
      ["sum(worker:rsm_ingest_bytes:rate1m)", "from cameras"],
      ["sum(rate(rsm_viewer_sent_bytes_total[$__rate_interval]))", "to viewers"],
    ],
  }),
  lines({
    width: 8,
    title: "Frames lost at workers",
    description:
      "Frames that were encoded and not sent, each second. superseded: encoding is quicker than sending, or the machine is " +
      "busy; not_connected, congested: NATS; too_large: beyond its payload limit; silenced: the process stood still.",
    unit: "fps",
    queries: [[orNone("reason", "sum by (reason) (worker:rsm_frames_dropped:rate1m)"), "{{reason}}"]],
  }),
  lines({
    width: 8,
    title: "Viewers by kind",
    description:
      "mjpeg: over WebSocket; multipart: an image in a page; hls: players seen of late; events: pages that show the list.",
    unit: "short",
    decimals: 0,
    stacked: true,
    queries: [["sum by (kind) (rsm_viewers)", "{{kind}}"]],
  }),
];

const behind = [
  lines({
    width: 8,
    title: "Processes in trouble",
    description:
      "Processes that answer /health/ready with 503, that have no connection to NATS, or that Prometheus cannot ask. 0 is " +
      "good. The answer of /health/ready says why in a sentence.",
    unit: "short",
    decimals: 0,
    queries: [
      ["sum by (role) (1 - rsm_ready)", "{{role}} not ready"],
      ["sum by (role) (1 - rsm_nats_connected)", "{{role}} without NATS"],
      ['sum by (role) (1 - up{job="rsm"})', "{{role}} not scraped"],
    ],
  }),
  lines({
    width: 8,
    title: "Dependencies at fault",
    description:
      "Processes that miss what they depend on. nats: the connection; store: SQLite cannot be written; disk: full, or not " +
      "writable; shutdown: the process is ending because somebody asked it to.",
    unit: "short",
    decimals: 0,
    queries: [[orNone("dependency", "sum by (dependency) (rsm_fault)"), "{{dependency}}"]],
  }),
  lines({
    width: 8,
    title: "Log lines",
    description:
      "Warnings and errors that the processes wrote, each minute. A step tells whose log to read, and from when on.",
    unit: "cpm",
    queries: [["60 * sum by (role, level) (rate(rsm_log_lines_total[$__rate_interval]))", "{{role}} {{level}}"]],
  }),
  lines({
    width: 8,
    title: "Commands to workers",
    description:
      "What the API asked of workers, each minute, and what became of it. Errors are tried again; many of them: look at NATS.",
    unit: "cpm",
    queries: [["60 * sum by (kind, outcome) (rate(rsm_commands_total[$__rate_interval]))", "{{kind}} {{outcome}}"]],
  }),
  lines({
    width: 8,
    title: "CPU by role",
    description: "Processors that all processes of a role keep busy.",
    unit: "suffix: cores",
    decimals: 2,
    stacked: true,
    queries: [['sum by (role) (rate(process_cpu_seconds_total{job="rsm"}[$__rate_interval]))', "{{role}}"]],
  }),
  stat({
    width: 8,
    title: "Versions",
    description: "Processes of each version. More than one outside of an upgrade: somebody was forgotten.",
    background: false,
    textMode: "value_and_name",
    steps: thresholds("text"),
    queries: [["count by (version) (rsm_build_info)", "{{version}}"]],
  }),
];

export const farm = board({
  uid: "rsm-farm",
  title: "RSM farm",
  description:
    "RTSP Stream Manager: is the farm well, and if not, what is it? Numbers at the top, lists of what is wrong below them.",
  marks: [
    mark({
      name: "Failovers",
      expr: 'sum by (reason) (increase(rsm_claim_changes_total{reason=~"failover|quarantined"}[1m])) > 0',
      color: "orange",
      title: "{{reason}}",
      text: "Cameras went to other workers",
    }),
  ],
  rows: [
    { height: 4, panels: glance },
    { title: "What is wrong", height: 9, panels: wrong },
    { title: "Cameras", height: 8, panels: cameras },
    { title: "Workers", height: 8, panels: workers },
    { title: "Media", height: 8, panels: media },
    { title: "Behind it", height: 7, panels: behind },
  ],
});
