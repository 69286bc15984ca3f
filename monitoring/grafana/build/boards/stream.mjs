// One camera or a few: its history, the workers that ran it, and its output.

import { board, choice, link } from "../board.mjs";
import { orNone, rate } from "../expressions.mjs";
import { lines, stat, table, thresholds, timeline } from "../panels.mjs";
import { stateNumber, stateNumbers } from "../states.mjs";

const OF = 'stream=~"$stream"';
const FROM_WORKER = `role="worker",${OF}`;
const toWorker = link("Open this worker", "rsm-worker", "worker", "${__value.raw}");
const toWorkerOfLine = link("Open this worker", "rsm-worker", "worker", "${__field.labels.worker}");

const glance = [
  stat({
    width: 4,
    title: "State",
    description:
      "running: pictures come. idle: nobody watches, so it is not connected to. starting: waits for a worker, or for the " +
      "first picture. reconnecting: away, and tried again. auth_failed: user or password are wrong. failed: cannot work, see why in " +
      "GET /video/<camera>/status. stopped: by hand.",
    textMode: "value_and_name",
    mappings: stateNumbers,
    steps: thresholds("text"),
    queries: [[stateNumber(OF), "{{stream}}"]],
  }),
  stat({
    width: 4,
    title: "Last picture",
    description:
      "Since the newest picture came from the camera, to a second. No data: no worker has it. After 5 s without one the session is begun anew.",
    unit: "s",
    decimals: 0,
    steps: thresholds("green", [5, "orange"], [30, "red"]),
    queries: [[`max(rsm_stream_last_frame_age_seconds{role="api",${OF}})`]],
  }),
  stat({
    width: 4,
    title: "Pictures",
    description:
      "Pictures that the camera sends, each second: those of the slowest chosen one. Below what is set in the camera: its link is too slow, or it is busy.",
    unit: "fps",
    decimals: 1,
    steps: thresholds("red", [0.5, "green"]),
    queries: [[`min(sum by (stream) (${rate(`rsm_ingest_access_units_total{${FROM_WORKER}}`)}))`]],
  }),
  stat({
    width: 4,
    title: "Bit rate",
    description: "Encoded video from the chosen cameras, in all.",
    unit: "bps",
    decimals: 1,
    steps: thresholds("blue"),
    queries: [[`8 * sum(${rate(`rsm_ingest_bytes_total{${FROM_WORKER}}`)})`]],
  }),
  stat({
    width: 4,
    title: "Viewers",
    description: "Who watches the chosen cameras now, over API and relays.",
    steps: thresholds("blue"),
    queries: [[`sum(rsm_stream_viewers{${OF}}) or vector(0)`]],
  }),
  stat({
    width: 4,
    title: "Breaks",
    description: "Sessions that had begun and broke in the time shown. Each is a gap of some seconds for viewers.",
    steps: thresholds("green", [1, "orange"], [10, "red"]),
    queries: [
      [
        `round(sum(increase(rsm_stream_restarts_total{${FROM_WORKER},reason=~"stalled|ended|protocol|pipeline"}[$__range]))) or vector(0)`,
      ],
    ],
  }),
];

const history = [
  timeline({
    width: 24,
    title: "State",
    description:
      "What state each chosen camera was in. Grey is idle: nobody watched. A gap: the API was away, or the camera was not registered.",
    unit: "short",
    mappings: stateNumbers,
    steps: thresholds("text"),
    queries: [[stateNumber(OF), "{{stream}}"]],
  }),
  timeline({
    width: 24,
    title: "Worker",
    description: "Which worker ran it. A new row at the same moment: the camera moved.",
    unit: "short",
    mappings: [{ type: "value", options: { 1: { text: "ran it", color: "blue", index: 0 } } }],
    steps: thresholds("blue"),
    links: toWorkerOfLine,
    queries: [[`max by (stream, worker) (rsm_stream_worker{${OF}})`, "{{stream}} at {{worker}}"]],
  }),
];

const ingest = [
  lines({
    width: 8,
    title: "Pictures from the camera",
    description: "Encoded pictures, each second. A camera that slows down at night has its exposure time to blame.",
    unit: "fps",
    queries: [[`sum by (stream) (${rate(`rsm_ingest_access_units_total{${FROM_WORKER}}`)})`, "{{stream}}"]],
  }),
  lines({
    width: 8,
    title: "Bit rate",
    description: "Encoded video, without RTP and RTSP overhead. Steps come with what is seen: rain, night, people.",
    unit: "bps",
    queries: [[`8 * sum by (stream) (${rate(`rsm_ingest_bytes_total{${FROM_WORKER}}`)})`, "{{stream}}"]],
  }),
  lines({
    width: 8,
    title: "Age of the last picture",
    description:
      "Since the newest picture came from the camera. Saw teeth above 5 s: it stops sending and is begun anew, again and again.",
    unit: "s",
    queries: [[`max by (stream) (rsm_stream_last_frame_age_seconds{role="api",${OF}})`, "{{stream}}"]],
  }),
  lines({
    width: 12,
    title: "Restarts by reason",
    description:
      "Sessions that ended or could not begin, each minute. unreachable, refused, name_not_found: network or power; " +
      "auth_failed: credentials; busy: the camera has no session left; stalled, ended: it stopped sending; protocol, unsupported: its firmware.",
    unit: "cpm",
    queries: [
      [
        `60 * (${orNone("reason", `sum by (stream, reason) (${rate(`rsm_stream_restarts_total{${FROM_WORKER}}`)})`)})`,
        "{{stream}} {{reason}}",
      ],
    ],
  }),
  table({
    width: 12,
    title: "Where it runs",
    description: "The worker that has each chosen camera now. A click opens the worker.",
    queries: [[`max by (stream, worker) (rsm_stream_worker{${OF}})`]],
    columns: { stream: { name: "Camera" }, worker: { name: "Worker", links: toWorker } },
  }),
];

const outputs = [
  lines({
    width: 8,
    title: "Frames",
    description: "JPEG frames that NATS took, each second, of all widths. Made only while somebody watches them.",
    unit: "fps",
    queries: [[`sum by (stream) (${rate(`rsm_frames_published_total{${FROM_WORKER}}`)})`, "{{stream}}"]],
  }),
  lines({
    width: 8,
    title: "Bytes of frames",
    description: "JPEG frames that NATS took. Lower the link's mjpeg width, rate or quality if this is much.",
    unit: "Bps",
    queries: [[`sum by (stream) (${rate(`rsm_frame_bytes_total{${FROM_WORKER}}`)})`, "{{stream}}"]],
  }),
  lines({
    width: 8,
    title: "Frames lost",
    description:
      "Frames that were encoded and not sent, each second. superseded: the worker is busy; not_connected, congested, too_large: NATS.",
    unit: "fps",
    queries: [
      [
        orNone("reason", `sum by (stream, reason) (${rate(`rsm_frames_dropped_total{${FROM_WORKER}}`)})`),
        "{{stream}} {{reason}}",
      ],
    ],
  }),
  lines({
    width: 8,
    title: "HLS segments",
    description: "Segments written, each minute, of all renditions. Made only while somebody plays.",
    unit: "cpm",
    queries: [[`60 * sum by (stream) (${rate(`rsm_hls_segments_total{${FROM_WORKER}}`)})`, "{{stream}}"]],
  }),
  lines({
    width: 8,
    title: "Failed outputs",
    description:
      "Outputs (jpeg, hls) that failed and were begun anew, each minute, while the camera's session went on. See the worker's log.",
    unit: "cpm",
    queries: [
      [
        `60 * (${orNone("output", `sum by (stream, output) (${rate(`rsm_output_failures_total{${FROM_WORKER}}`)})`)})`,
        "{{stream}} {{output}}",
      ],
    ],
  }),
  lines({
    width: 8,
    title: "Viewers",
    description: "Who watches: mjpeg over WebSocket, multipart, and hls players seen of late.",
    unit: "short",
    decimals: 0,
    stacked: true,
    queries: [[orNone("kind", `sum by (stream, kind) (rsm_stream_viewers{${OF}})`), "{{stream}} {{kind}}"]],
  }),
];

export const stream = board({
  uid: "rsm-stream",
  title: "RSM camera",
  description: "RTSP Stream Manager: one camera or a few; what happened to it, who ran it, what comes out of it.",
  variables: [
    choice({
      name: "stream",
      label: "Camera",
      description: "Cameras that were registered in the time shown; a few at a time",
      query: 'label_values(rsm_stream_state{role="api"}, stream)',
      all: false,
    }),
  ],
  rows: [
    { height: 4, panels: glance },
    { title: "What happened", height: 5, panels: history },
    { title: "From the camera", height: 8, panels: ingest },
    { title: "To viewers", height: 7, panels: outputs },
  ],
});
