// One worker or a few: is the machine well, and which work takes its resources? Sums over all cameras of a worker come
// from recording rules: a worker of a large farm has hundreds.

import { board, choice, link } from "../board.mjs";
import { orNone, quantile, rate } from "../expressions.mjs";
import { lines, named, stat, table, thresholds } from "../panels.mjs";

/** Longest lists of cameras that this board shows. */
const ROWS = 20;

const OWN = 'role="worker",worker=~"$worker"';
const toStream = link("Open this camera", "rsm-stream", "stream", "${__value.raw}");
const toWorker = link("Only this worker", "rsm-worker", "worker", "${__field.labels.worker}");
const full = thresholds("green", [0.8, "orange"], [0.95, "red"]);

const glance = [
  stat({
    width: 3,
    title: "Cameras",
    description: "Cameras that the chosen workers run.",
    steps: thresholds("blue", [1, "green"]),
    queries: [[`sum(rsm_claims{${OWN}})`]],
  }),
  stat({
    width: 3,
    title: "Load",
    description:
      "The fullest worker: share of its capacity that is in use. At 100 % it takes no more; workers that are less full take them. " +
      "Raise worker.capacity if CPU and memory have room.",
    unit: "percentunit",
    decimals: 0,
    min: 0,
    max: 1,
    steps: full,
    queries: [[`max(rsm_worker_load_ratio{${OWN}})`]],
  }),
  stat({
    width: 3,
    title: "CPU",
    description:
      "Processors that the busiest worker keeps busy. Decoding for JPEG and renditions is what costs; HLS of the source does not.",
    unit: "suffix: cores",
    decimals: 1,
    steps: thresholds("blue"),
    queries: [[`max(${rate(`process_cpu_seconds_total{${OWN}}`)})`]],
  }),
  stat({
    width: 3,
    title: "Memory",
    description:
      "Resident memory of the largest worker. It grows with cameras and viewers' outputs, and not with time; a line that only rises is a leak.",
    unit: "bytes",
    decimals: 1,
    steps: thresholds("blue"),
    queries: [[`max(process_resident_memory_bytes{${OWN}})`]],
  }),
  stat({
    width: 3,
    title: "HLS disk",
    description:
      "The fullest worker: share of hls.disk_budget_mb that segments take. At the budget the oldest segments go early, and players that are behind stop.",
    unit: "percentunit",
    decimals: 0,
    min: 0,
    max: 1,
    steps: full,
    queries: [['max(instance:rsm_hls_disk_used:ratio{worker=~"$worker"})']],
  }),
  stat({
    width: 3,
    title: "Draining",
    description: "Chosen workers that were asked to leave and hand their cameras on.",
    zero: "no",
    steps: thresholds("green", [1, "blue"]),
    queries: [[`sum(rsm_worker_draining{${OWN}})`]],
  }),
  stat({
    width: 3,
    title: "Ready",
    description: "Chosen workers that are not ready. GET /health/ready on the worker says why in a sentence.",
    zero: "all",
    steps: thresholds("green", [1, "red"]),
    queries: [[`sum(1 - rsm_ready{${OWN}})`]],
  }),
  stat({
    width: 3,
    title: "NATS",
    description:
      "Chosen workers without a connection to NATS. A worker that hears nothing and cannot ask JetStream stops its pipelines after control.hold_s.",
    zero: "ok",
    steps: thresholds("green", [1, "red"]),
    queries: [[`sum(1 - rsm_nats_connected{${OWN}})`]],
  }),
];

const machine = [
  lines({
    width: 8,
    title: "CPU",
    description:
      "Processors that a worker keeps busy. Near what the machine has, frames come late and the worker lets others go first.",
    unit: "suffix: cores",
    decimals: 2,
    links: toWorker,
    queries: [[`max by (worker) (${rate(`process_cpu_seconds_total{${OWN}}`)})`, "{{worker}}"]],
  }),
  lines({
    width: 8,
    title: "Memory",
    description: "Resident memory of a worker. It follows cameras and outputs up and down.",
    unit: "bytes",
    links: toWorker,
    queries: [[`max by (worker) (process_resident_memory_bytes{${OWN}})`, "{{worker}}"]],
  }),
  lines({
    width: 8,
    title: "Open files",
    description:
      "Share of the descriptors that the system allows the process. Near 100 % no camera and no viewer can connect: raise LimitNOFILE.",
    unit: "percentunit",
    max: 1,
    links: toWorker,
    queries: [[`max by (worker) (process_open_fds{${OWN}} / process_max_fds{${OWN}})`, "{{worker}}"]],
  }),
  lines({
    width: 8,
    title: "Cameras",
    description:
      "Cameras that a worker runs. A fall to nothing: it died or left; a fall of one and a rise of others: a move.",
    unit: "short",
    decimals: 0,
    links: toWorker,
    queries: [[`max by (worker) (rsm_claims{${OWN}})`, "{{worker}}"]],
  }),
  lines({
    width: 8,
    title: "Load",
    description:
      "Share of a worker's capacity that is in use. Workers differ for a while after one joined or left, not for long.",
    unit: "percentunit",
    max: 1,
    links: toWorker,
    queries: [[`max by (worker) (rsm_worker_load_ratio{${OWN}})`, "{{worker}}"]],
  }),
  lines({
    width: 8,
    title: "Threads",
    description: "Threads of a worker; GStreamer takes some for each decoder and encoder.",
    unit: "short",
    decimals: 0,
    links: toWorker,
    queries: [[`max by (worker) (process_threads{${OWN}})`, "{{worker}}"]],
  }),
];

const cameras = [
  lines({
    width: 8,
    title: "From cameras",
    description: "Encoded video that a worker takes from its cameras, without RTP and RTSP overhead.",
    unit: "Bps",
    links: toWorker,
    queries: [['sum by (worker) (worker:rsm_ingest_bytes:rate1m{worker=~"$worker"})', "{{worker}}"]],
  }),
  lines({
    width: 8,
    title: "Pictures from cameras",
    description:
      "Encoded pictures that a worker takes from its cameras, each second. A dip of all at once: the network to the cameras.",
    unit: "fps",
    links: toWorker,
    queries: [['sum by (worker) (worker:rsm_ingest_access_units:rate1m{worker=~"$worker"})', "{{worker}}"]],
  }),
  lines({
    width: 8,
    title: "Restarts by reason",
    description:
      "Camera sessions that ended or could not begin, each minute. unreachable, refused: network or power; stalled, ended: " +
      "the camera stopped sending; pipeline: ours, see the worker's log.",
    unit: "cpm",
    queries: [['60 * sum by (reason) (worker:rsm_stream_restarts:rate5m{worker=~"$worker"})', "{{reason}}"]],
  }),
  table({
    width: 12,
    title: "Largest cameras",
    description: `The ${ROWS} cameras of the chosen workers that send most. A click opens the camera.`,
    queries: [[`topk(${ROWS}, 8 * sum by (stream, worker) (${rate(`rsm_ingest_bytes_total{${OWN}}`)}))`]],
    columns: {
      stream: { name: "Camera", links: toStream },
      worker: { name: "Worker" },
      Value: { name: "Bit rate", unit: "bps", decimals: 1 },
    },
    sort: "Bit rate",
  }),
  table({
    width: 12,
    title: "Most restarts",
    description: `The ${ROWS} cameras of the chosen workers whose sessions ended most often in the time shown, and why. Empty is good.`,
    queries: [
      [`topk(${ROWS}, sum by (stream, worker, reason) (increase(rsm_stream_restarts_total{${OWN}}[$__range])) > 0)`],
    ],
    columns: {
      stream: { name: "Camera", links: toStream },
      worker: { name: "Worker" },
      reason: { name: "Reason" },
      Value: { name: "Times", decimals: 0 },
    },
    sort: "Times",
  }),
];

const outputs = [
  lines({
    width: 8,
    title: "Frames to NATS",
    description: "JPEG frames that NATS took, each second. Frames are made only while somebody watches them.",
    unit: "fps",
    links: toWorker,
    queries: [['sum by (worker) (worker:rsm_frames_published:rate1m{worker=~"$worker"})', "{{worker}}"]],
  }),
  lines({
    width: 8,
    title: "Bytes of frames to NATS",
    description: "JPEG frames that NATS took. Once for each stream and width, whatever the number of viewers.",
    unit: "Bps",
    links: toWorker,
    queries: [['sum by (worker) (worker:rsm_frame_bytes:rate1m{worker=~"$worker"})', "{{worker}}"]],
  }),
  lines({
    width: 8,
    title: "Frames lost",
    description:
      "Frames that were encoded and not sent, each second. superseded: the machine is busy; not_connected, congested: NATS; " +
      "too_large: beyond its payload limit; silenced: the process stood still.",
    unit: "fps",
    queries: [
      [orNone("reason", 'sum by (reason) (worker:rsm_frames_dropped:rate1m{worker=~"$worker"})'), "{{reason}}"],
    ],
  }),
  lines({
    width: 8,
    title: "Time to encode",
    description:
      "From a decoded picture to its JPEG; 19 of 20 are quicker. 2 ms for 360p, 40 ms for 4K on one core; beyond that the machine is overloaded.",
    unit: "s",
    links: toWorker,
    queries: [[quantile(0.95, "rsm_frame_encode_seconds", { matchers: OWN, by: ["worker"] }), "{{worker}}"]],
  }),
  lines({
    width: 8,
    title: "Failed outputs",
    description:
      "Outputs (jpeg, hls) that failed and were begun anew, each minute, while the camera's session went on. See the worker's log. Nothing is good.",
    unit: "cpm",
    queries: [
      [`60 * (${orNone("output", `sum by (output) (${rate(`rsm_output_failures_total{${OWN}}`)})`)})`, "{{output}}"],
    ],
  }),
  lines({
    width: 8,
    title: "HLS written",
    description: "Segments that a worker writes. HLS is made only while somebody plays it.",
    unit: "Bps",
    links: toWorker,
    queries: [['sum by (worker) (worker:rsm_hls_segment_bytes:rate1m{worker=~"$worker"})', "{{worker}}"]],
  }),
  lines({
    width: 12,
    title: "HLS on disk",
    description:
      "Bytes of segments, those of ended streams that still linger included, beside the budget (hls.disk_budget_mb).",
    unit: "bytes",
    queries: [
      [`max by (worker) (rsm_hls_disk_bytes{${OWN}})`, "{{worker}}"],
      [`max by (worker) (rsm_hls_disk_budget_bytes{${OWN}})`, "{{worker}} budget"],
    ],
  }),
  lines({
    width: 12,
    title: "Segments evicted",
    description:
      "Segments that left before their time because of the disk budget, each minute. Anything above 0: give HLS more disk, or let it keep less.",
    unit: "cpm",
    links: toWorker,
    queries: [[`60 * sum by (worker) (${rate(`rsm_hls_segments_evicted_total{${OWN}}`)})`, "{{worker}}"]],
  }),
];

export const worker = board({
  uid: "rsm-worker",
  title: "RSM worker",
  description: "RTSP Stream Manager: one worker or a few; the machine, its cameras, what it makes of them.",
  variables: [
    choice({
      name: "worker",
      label: "Worker",
      description: "Workers that were there in the time shown",
      query: "label_values(rsm_worker_capacity, worker)",
      all: true,
    }),
  ],
  rows: [
    { height: 4, panels: glance },
    { title: "Machine", height: 7, panels: machine },
    { title: "Cameras", height: 8, panels: cameras },
    { title: "Outputs", height: 7, panels: outputs },
  ],
});
