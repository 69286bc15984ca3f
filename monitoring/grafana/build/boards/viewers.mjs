// Viewers: do they get the media that they request, and in time? For the processes that serve them: the API and relays.

import { board, choice, link } from "../board.mjs";
import { orNone, quantile, rate } from "../expressions.mjs";
import { lines, named, stat, table, thresholds } from "../panels.mjs";

/** Longest list of cameras that this board shows. */
const ROWS = 20;

const AT = 'instance=~"$server"';
const toStream = link("Open this camera", "rsm-stream", "stream", "${__value.raw}");
const late = thresholds("green", [0.25, "orange"], [1, "red"]);

const glance = [
  stat({
    width: 4,
    title: "Viewers",
    description: "Who watches now: WebSocket, multipart and HLS. Pages that only show the list are not counted.",
    steps: thresholds("blue"),
    queries: [[`sum(rsm_viewers{${AT},kind!="events"})`]],
  }),
  stat({
    width: 4,
    title: "Seats taken",
    description:
      "The fullest server: share of api.max_viewers that is in use. WebSocket, multipart and lists take a seat; HLS does not. " +
      "At 100 % people are turned away: start a relay, or raise it if the machine has room.",
    unit: "percentunit",
    decimals: 0,
    min: 0,
    max: 1,
    steps: thresholds("green", [0.8, "orange"], [0.95, "red"]),
    queries: [[`max(sum by (instance) (rsm_viewers{${AT},kind!="hls"}) / on (instance) rsm_viewer_seats{${AT}})`]],
  }),
  stat({
    width: 4,
    title: "Turned away",
    description: "Viewers that were refused in the time shown, for whatever reason. The reasons are below.",
    zero: "none",
    steps: thresholds("green", [1, "orange"], [10, "red"]),
    queries: [[`round(sum(increase(rsm_viewer_refusals_total{${AT}}[$__range])))`]],
  }),
  stat({
    width: 4,
    title: "Delay",
    description:
      "From a frame's publishing at the worker to its being sent; 19 of 20 are quicker. Usual is far below 0.1 s. No data: nobody watches frames.",
    unit: "s",
    decimals: 3,
    steps: late,
    queries: [[quantile(0.95, "rsm_frame_relay_seconds", { matchers: AT })]],
  }),
  stat({
    width: 4,
    title: "Skipped frames",
    description:
      "Share of the frames that viewers were too slow for; they were shown newer ones instead. High for all: our network; for some: theirs.",
    unit: "percentunit",
    decimals: 1,
    min: 0,
    max: 1,
    steps: thresholds("green", [0.05, "orange"], [0.3, "red"]),
    queries: [[skipped()]],
  }),
  stat({
    width: 4,
    title: "HLS errors",
    description:
      "Share of the requests for playlists and segments that ended in an error of ours (5xx). 503 for a while is a camera that has no picture yet.",
    unit: "percentunit",
    decimals: 1,
    min: 0,
    max: 1,
    steps: thresholds("green", [0.01, "orange"], [0.1, "red"]),
    queries: [
      [
        `(sum(${rate(`rsm_hls_requests_total{${AT},status=~"5.."}`)}) or vector(0)) / clamp_min(sum(${rate(`rsm_hls_requests_total{${AT}}`)}), 1e-9)`,
      ],
    ],
  }),
];

const who = [
  lines({
    width: 8,
    title: "Viewers by kind",
    description:
      "mjpeg: over WebSocket; multipart: an image in a page; hls: players seen of late; events: pages that show the list.",
    unit: "short",
    decimals: 0,
    stacked: true,
    queries: [[`sum by (kind) (rsm_viewers{${AT}})`, "{{kind}}"]],
  }),
  lines({
    width: 8,
    title: "Viewers by server",
    description: "Viewers of the API and of each relay. Very uneven: look at whatever spreads viewers over them.",
    unit: "short",
    decimals: 0,
    stacked: true,
    queries: [[`sum by (role, instance) (rsm_viewers{${AT},kind!="events"})`, "{{role}} {{instance}}"]],
  }),
  table({
    width: 8,
    title: "Most watched cameras",
    description: `The ${ROWS} cameras with most viewers now. A click opens the camera.`,
    queries: [[`topk(${ROWS}, sum by (stream) (rsm_stream_viewers{${AT}}))`]],
    columns: { stream: { name: "Camera", links: toStream }, Value: { name: "Viewers", decimals: 0 } },
    sort: "Viewers",
  }),
  lines({
    width: 12,
    title: "Turned away",
    description:
      "Viewers that were refused, each minute. all: every seat is taken (api.max_viewers); stream: the camera's " +
      "(api.max_viewers_per_stream); address: those of one address (api.max_viewers_per_address), such as a proxy's.",
    unit: "cpm",
    queries: [[`60 * sum by (reason) (${rate(`rsm_viewer_refusals_total{${AT}}`)})`, "{{reason}}"]],
  }),
  lines({
    width: 12,
    title: "Ended",
    description:
      "Viewers whose connection ended, each minute. left: they closed it; vanished: their network; stalled: they took nothing " +
      "for too long; stopped, removed: the camera was; shutdown: the process; protocol: not a browser.",
    unit: "cpm",
    queries: [[`60 * sum by (reason) (${rate(`rsm_viewers_closed_total{${AT}}`)})`, "{{reason}}"]],
  }),
];

const frames = [
  lines({
    width: 8,
    title: "Delay of frames",
    description:
      "From a frame's publishing at the worker to its being sent to one viewer: half of them, and 19 of 20, are quicker. Clocks of two machines that differ show here.",
    unit: "s",
    queries: [
      [quantile(0.95, "rsm_frame_relay_seconds", { matchers: AT }), "95 %"],
      [quantile(0.5, "rsm_frame_relay_seconds", { matchers: AT }), "50 %"],
    ],
  }),
  lines({
    width: 8,
    title: "Bytes of frames sent",
    description:
      "To viewers over WebSocket and multipart, by server. Near what its network card carries: start another relay.",
    unit: "Bps",
    stacked: true,
    queries: [[`sum by (role, instance) (${rate(`rsm_viewer_sent_bytes_total{${AT}}`)})`, "{{role}} {{instance}}"]],
  }),
  lines({
    width: 8,
    title: "Frames not shown",
    description:
      "Each second. skipped: a viewer was too slow for it; stale: an earlier owner's, dropped on purpose while a camera moves; " +
      "malformed: somebody else writes to our subjects on NATS.",
    unit: "fps",
    queries: [
      [`sum(${rate(`rsm_viewer_frames_skipped_total{${AT}}`)})`, "skipped"],
      [`sum(${rate(`rsm_stale_frames_total{${AT}}`)})`, "stale"],
      [`sum(${rate(`rsm_malformed_frames_total{${AT}}`)})`, "malformed"],
    ],
  }),
];

const requests = [
  lines({
    width: 8,
    title: "HLS requests",
    description:
      "Playlists and segments, each second, by status. 404: a player asks for what is gone, as it is far behind; 503: no picture yet; 5xx else: see the log.",
    unit: "reqps",
    queries: [[`sum by (status) (${rate(`rsm_hls_requests_total{${AT}}`)})`, "{{status}}"]],
  }),
  lines({
    width: 8,
    title: "Fetched from workers",
    description:
      "Playlists and segments that are not on this machine's disk, each second. hit: from memory; miss: fetched; absent: not at the worker either; error: the worker did not answer.",
    unit: "reqps",
    queries: [[orNone("outcome", `sum by (outcome) (${rate(`rsm_hls_fetches_total{${AT}}`)})`), "{{outcome}}"]],
  }),
  lines({
    width: 8,
    title: "HTTP errors",
    description:
      "Answers that were an error of ours, each second, by route. 503 is said on purpose while NATS, or the first picture, is away.",
    unit: "reqps",
    queries: [
      [
        orNone(
          "route",
          `topk(10, sum by (route, status) (${rate(`rsm_http_requests_total{${AT},status=~"5.."}`)}) > 0)`,
        ),
        "{{route}} {{status}}",
      ],
    ],
  }),
  lines({
    width: 12,
    title: "HTTP requests",
    description: "Requests answered, each second, by status. 4xx: what clients got wrong.",
    unit: "reqps",
    queries: [[`sum by (status) (${rate(`rsm_http_requests_total{${AT}}`)})`, "{{status}}"]],
  }),
  table({
    width: 12,
    title: "Slowest routes",
    description:
      "Time to answer, by route; 19 of 20 are quicker. Routes of media wait up to 10 s for the first picture, and players on purpose for the next part.",
    queries: [[`topk(10, ${quantile(0.95, "rsm_http_request_seconds", { matchers: AT, by: ["route"] })} >= 0)`]],
    columns: { route: { name: "Route" }, Value: { name: "95 %", unit: "s", decimals: 3 } },
    sort: "95 %",
  }),
];

/** Of the frames that were meant for viewers. */
function skipped() {
  const sum = (metric) => `sum(${rate(`${metric}{${AT}}`)})`;
  const missed = sum("rsm_viewer_frames_skipped_total");
  return `${missed} / clamp_min(${missed} + ${sum("rsm_frame_relay_seconds_count")}, 1e-9)`;
}

export const viewers = board({
  uid: "rsm-viewers",
  title: "RSM viewers",
  description: "RTSP Stream Manager: do viewers get what they ask for, and in time?",
  variables: [
    choice({
      name: "server",
      label: "API or relay",
      description: "Processes that serve viewers",
      query: "label_values(rsm_viewer_seats, instance)",
      all: true,
    }),
  ],
  rows: [
    { height: 4, panels: glance },
    { title: "Who watches", height: 8, panels: who },
    { title: "Frames", height: 8, panels: frames },
    { title: "HTTP and HLS", height: 8, panels: requests },
  ],
});
