// The state of the farm at a glance, from across the room: green is well.

import { stat, thresholds } from "../panels.mjs";

// No sample is no alert, as long as Prometheus runs the rules at all.
const firing = (severity) =>
  `count(ALERTS{alertname=~"Rsm.+",alertstate="firing",severity="${severity}"}) or vector(0)`;
const streams = (state) => `sum(rsm_streams{role="api",state=~"${state}"})`;

/** Fills a line of the grid. */
export const glance = [
  stat({
    width: 3,
    title: "Running",
    description:
      "Cameras that give pictures now. A camera that nobody watches is idle and not counted, unless it is always on.",
    steps: thresholds("blue", [1, "green"]),
    queries: [[streams("running")]],
  }),
  stat({
    width: 3,
    title: "Down",
    description:
      "Cameras that are wanted and give no picture: reconnecting or failed. Look at the table below for which, and at " +
      "restarts by reason for why. Many at once: a switch, a power supply or the network between; one: the camera.",
    steps: thresholds("green", [1, "red"]),
    queries: [[streams("reconnecting|failed")]],
  }),
  stat({
    width: 3,
    title: "Wrong credentials",
    description:
      "Cameras that refuse the user name or password of their link. They come back when the link is corrected; nothing else helps.",
    steps: thresholds("green", [1, "purple"]),
    queries: [[streams("auth_failed")]],
  }),
  stat({
    width: 2,
    title: "Workers live",
    description: "Workers that the API hears. With none, no camera runs.",
    steps: thresholds("red", [1, "green"]),
    queries: [['sum(rsm_workers{state="live"})']],
  }),
  stat({
    width: 2,
    title: "Lost",
    description:
      "Workers that fell silent without a goodbye and are not back; forgotten after 15 minutes. Their cameras went to " +
      "other workers if there was room. Look at that machine: power, network, memory, then the worker's log.",
    steps: thresholds("green", [1, "red"]),
    queries: [['sum(rsm_workers{state="lost"})']],
  }),
  stat({
    width: 2,
    title: "Room",
    description:
      "Share of the farm's capacity that is free. At 0 a camera that somebody wants to see waits, and a lost worker's " +
      "cameras have nowhere to go. Keep as much free as your largest worker runs. Remedy: another worker, or a larger worker.capacity.",
    unit: "percentunit",
    decimals: 0,
    min: 0,
    max: 1,
    steps: thresholds("red", [0.02, "orange"], [0.1, "green"]),
    queries: [["sum(rsm_farm_room) / clamp_min(sum(rsm_farm_capacity), 1)"]],
  }),
  stat({
    width: 3,
    title: "Viewers",
    description:
      "Who watches now, over API and relays: WebSocket, multipart and HLS. Pages that only show the list are not counted.",
    steps: thresholds("blue"),
    queries: [['sum(rsm_viewers{kind!="events"})']],
  }),
  stat({
    width: 2,
    title: "NATS",
    description:
      "Processes without a connection to NATS. Running cameras go on for a while and nothing new begins. All of them: " +
      "NATS is away; some: the network between.",
    zero: "ok",
    steps: thresholds("green", [1, "red"]),
    queries: [["sum(1 - rsm_nats_connected)"]],
  }),
  stat({
    width: 2,
    title: "Pages",
    description:
      "Alerts that should wake somebody: pictures are missing now, or will be when the next thing fails. The table below " +
      "names them, monitoring/runbook.md says what to do.",
    zero: "none",
    steps: thresholds("green", [1, "red"]),
    queries: [[firing("page")]],
  }),
  stat({
    width: 2,
    title: "Tickets",
    description:
      "Alerts that wait until the morning. The table below names them, monitoring/runbook.md says what to do.",
    zero: "none",
    steps: thresholds("green", [1, "orange"]),
    queries: [[firing("ticket")]],
  }),
];
