//! The one table of the configuration. `config/default.toml`, `rsm config check`, `rsm config show` and
//! `docs/configuration.md` are made from it; `config.rs` says how the two files are written anew after a change here.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::check::{
    any, base_path, certificates, gstreamer_element, log_filter, nats_address, origin, proxy, rendition, worker_name,
    zone,
};
use super::declare::{Key, Section, configuration};
use super::endpoint::OtlpEndpoint;
use super::error::BadConfig;
use super::form::Form;
use super::log_format::LogFormat;
use super::setting::Setting;
use crate::stream::secret::Secret;
use crate::stream::spec::JpegParams;

/// Most zones of one worker.
const MAX_ZONES: usize = 8;
/// Characters that a name in a NATS subject may have.
const TOKEN: &str = "1 to 32 of A-Z a-z 0-9 _ -";
/// A text without a form.
const ANY: &str = "text";
const NATS_ADDRESSES: &str = "addresses such as nats://127.0.0.1:4222";
const SOCKET_ADDRESS: &str = "ADDRESS:PORT";
const ELEMENT: &str = "auto or the name of a GStreamer element";

configuration! {
    general {
        /// Directory of the database, the embedded NATS store and the HLS segments. Relative to the working directory.
        data_dir: PathBuf = "data", Form::text(ANY, any);
    }

    /// The HTTP side: API and relays.
    section api: ApiConfig {
        /// Address of the page, the REST API and the viewers. Loopback: there is no access control yet.
        listen: SocketAddr = "127.0.0.1:8080", Form::text(SOCKET_ADDRESS, any);
        /// Origins of other sites that may use the API from a browser. While the API listens on loopback, loopback
        /// origins of any port are allowed too.
        allowed_origins: Vec<String> = [], Form::list("origins such as https://cameras.example", origin, 0);
        /// Sites that may show the page in a frame of theirs, besides this server. Empty: none may.
        embed_origins: Vec<String> = [], Form::list("origins such as https://cameras.example", origin, 0);
        /// Path under which a proxy shows this server, when it does not say so in X-Forwarded-Prefix. Addresses in
        /// answers begin with it. Requests are taken with it and without. Empty: the server has the host for itself.
        base_path: Option<String> = "", Form::text("a path such as /cams", base_path);
        /// Largest request body.
        max_body_bytes: u64 = 65536, Form::whole("bytes", 1024, 16_777_216);
        /// Camera links that can be registered.
        max_links: u64 = 20000, Form::whole("", 1, 100_000);
        /// Viewers whose connection is held (frames over WebSocket or multipart, events), all together. A viewer
        /// beyond this bound is answered 503.
        max_viewers: u64 = 5000, Form::whole("", 1, 100_000);
        /// Viewers of one stream. A viewer beyond this bound is answered 503.
        max_viewers_per_stream: u64 = 0, Form::whole_or_zero("", 1, 100_000, "no bound of its own");
        /// Viewers from one address. A viewer beyond this bound is answered 429.
        max_viewers_per_address: u64 = 1000, Form::whole_or_zero("", 1, 100_000, "no bound of its own");
        /// Proxies in front of this process: the address of a viewer behind one is the one that the proxy names in
        /// X-Forwarded-For, and the path before this server's own the one in X-Forwarded-Prefix.
        trusted_proxies: Vec<String> = [], Form::list("addresses or networks such as 10.0.0.7 or 10.0.0.0/8", proxy, 0);
        /// A viewer that reads nothing at all for this long is disconnected. A slow one skips frames, and stays.
        viewer_stall_s: u64 = 30, Form::whole("seconds", 1, 3600);
        /// Time over which viewers are disconnected after SIGTERM or Ctrl-C, so that they do not all come back in the
        /// same second. It is cut short to fit into control.shutdown_s.
        drain_s: u64 = 2, Form::whole("seconds", 0, 600);
    }

    /// The connection to NATS.
    section nats: NatsConfig {
        /// Servers of one cluster. `rsm up` starts its own server instead, unless --nats is given.
        urls: Vec<String> = ["nats://127.0.0.1:4222"], Form::list(NATS_ADDRESSES, nats_address, 1);
        /// User; empty for none.
        user: Option<String> = "", Form::text(ANY, any);
        /// Password; empty for none. Better in the environment: RSM__NATS__PASSWORD.
        password: Option<Secret> = "", Form::text(ANY, any);
        /// JetStream domain of the servers that hold the streams; only behind a leaf node.
        domain: Option<String> = "", Form::text(TOKEN, zone);
        /// File with the certificates that servers of tls:// addresses are checked against. Empty: those of the system.
        ca_file: Option<String> = "", Form::text("a readable file with certificates in PEM", certificates);
        /// Copies of each stream in a NATS cluster. More than one: nats-server 2.9.21 or newer is advised.
        replicas: usize = 1, Form::OneOf(&[1, 3, 5]);
    }

    /// One worker process.
    section worker: WorkerConfig {
        /// Name of this worker, unique among the live ones. Empty: made from the host name.
        name: Option<String> = "", Form::text(TOKEN, worker_name);
        /// Zones whose cameras it runs.
        zones: Vec<String> = ["default"], Form::short_list("zones", zone, 1, MAX_ZONES);
        /// Streams that it runs at most.
        capacity: u32 = 0, Form::whole_or_zero("", 1, 10_000, "100 for each core");
        /// Address of its metrics, health and HLS segments. Port 0: chosen by the system, and announced to the API.
        listen: SocketAddr = "127.0.0.1:0", Form::text(SOCKET_ADDRESS, any);
        /// Address at which API and relays reach it. Empty: the address that it listens on, or when that is 0.0.0.0
        /// the host name.
        advertise: Option<String> = "", Form::text("host or host:port", any);
        /// After SIGTERM the worker goes on until others have taken its streams over, for this long at most.
        drain_s: u64 = 30, Form::whole("seconds", 0, 600);
        /// The worker takes no new streams while more of the memory is in use.
        max_memory_percent: u32 = 90, Form::whole("percent", 50, 100);
        /// New streams are left to other workers with room while the CPU is busier than this.
        max_cpu_percent: u32 = 90, Form::whole("percent", 10, 100);
        /// Streams that are encoded to H.264 at the same time: lower renditions, and cameras whose codec browsers
        /// cannot play.
        max_encoders: u32 = 0, Form::whole_or_zero("", 1, 1000, "two for each core");
        /// Decoder of H.264. auto: the first that works on this machine of VA-API, V4L2, NVIDIA, software.
        h264_decoder: String = "auto", Form::text(ELEMENT, gstreamer_element);
        /// Decoder of H.265; auto as for H.264.
        h265_decoder: String = "auto", Form::text(ELEMENT, gstreamer_element);
        /// Encoder of H.264; auto as for its decoder.
        h264_encoder: String = "auto", Form::text(ELEMENT, gstreamer_element);
        /// True when the worker removes the segments of an earlier run at start. Set it to false for all workers but one
        /// when several share a data directory; `rsm up` does so itself.
        clear_hls: bool = true, Form::Switch;
    }

    /// Camera sessions.
    section camera: CameraConfig {
        /// A camera session without a picture for this long is ended.
        stall_timeout_s: u64 = 5, Form::whole("seconds", 1, 60);
        /// Deadline of each step of connecting.
        connect_timeout_s: u64 = 5, Form::whole("seconds", 1, 60);
        /// First pause between attempts to connect; it doubles with each failure.
        backoff_min_s: u64 = 1, Form::whole("seconds", 1, 3600);
        /// Longest pause between attempts to connect; not less than backoff_min_s.
        backoff_max_s: u64 = 60, Form::whole("seconds", 1, 3600);
        /// Pause after refused credentials: cameras lock accounts.
        auth_retry_s: u64 = 300, Form::whole("seconds", 10, 86_400);
        /// A stream without demand for this long is stopped.
        idle_timeout_s: u64 = 30, Form::whole("seconds", 5, 3600);
    }

    /// Bounds of the JPEG output, unless the link has its own.
    fields mjpeg: JpegParams {
        /// Frames per second at most.
        max_fps: u32 = 10, Form::whole("frames per second", 1, 60);
        /// Width at most.
        max_width: u32 = 1280, Form::whole("pixels", 64, 3840);
        /// JPEG quality.
        quality: u32 = 80, Form::whole("", 1, 100);
    }

    /// HLS output.
    section hls: HlsConfig {
        /// A segment ends at the first key frame after this time.
        segment_seconds: u32 = 2, Form::whole("seconds", 1, 10);
        /// Segments in the playlist.
        window_segments: u32 = 6, Form::whole("", 3, 60);
        /// Length of a part: with low latency, players may fetch parts of a segment before it is complete.
        part_ms: u32 = 333, Form::whole_or_zero("milliseconds", 200, 1000, "no parts");
        /// True when HLS is made of every running stream from its first picture on, so that no player waits for it.
        /// Costs disk writes.
        always_on: bool = false, Form::Switch;
        /// Lower renditions that are offered to players with less bandwidth, encoded only while a player fetches them.
        renditions: Vec<String> = ["360p"], Form::list("of 1080p, 720p, 540p, 480p, 360p, 240p", rendition, 0);
        /// Demand for HLS ends this long after a player fetched its last playlist.
        wish_ttl_s: u64 = 20, Form::whole("seconds", 10, 300);
        /// Disk space for the segments of all streams of one worker. At the budget the oldest are removed first.
        disk_budget_mb: u64 = 2048, Form::whole("MB", 64, 1_000_000);
        /// Memory of an API or relay for segments of workers whose disk it does not share.
        cache_mb: u64 = 64, Form::whole("MB", 8, 16_384);
    }

    /// Liveness, balance and shutdown.
    section control: ControlConfig {
        /// A worker that is silent for this long is dead. Not less than 4 on a network.
        worker_dead_s: u64 = 4, Form::whole("seconds", 2, 60);
        /// A worker that hears nothing ends streams of `exclusive` cameras after this long; the others go on for an hour.
        hold_s: u64 = 20, Form::whole("seconds", 10, 600);
        /// True when streams move to workers that have more room, without a gap for viewers.
        rebalance: bool = true, Form::Switch;
        /// Streams move while the fullest and the emptiest worker differ by more than this share of their capacity; 0: while
        /// they differ by more than one stream.
        rebalance_percent: u32 = 0, Form::whole("percent", 0, 100);
        /// Deadline of a shutdown after SIGTERM or Ctrl-C.
        shutdown_s: u64 = 4, Form::whole("seconds", 1, 60);
    }

    /// Logs; they go to stderr.
    section log: LogConfig {
        /// Shape of a line.
        format: LogFormat = "text", Form::text("text or json", any);
        /// Level by part, as in RSM_LOG; docs/logs.md lists the parts.
        filter: String = "info", Form::text("levels such as info or info,source=debug", log_filter);
    }

    /// Spans of slow starts, for a collector; docs/traces.md.
    section traces: TracesConfig {
        /// Where spans are sent, by OTLP over HTTP. Empty: nothing is recorded. No https: a collector beside the
        /// process encrypts what it passes on.
        otlp_endpoint: Option<OtlpEndpoint> = "", Form::text("an address such as http://127.0.0.1:4318", any);
        /// Share of the traces that begin here and are recorded. A trace that began elsewhere, with a traceparent in
        /// the request, follows the decision made there.
        sample_percent: u32 = 100, Form::whole("percent", 0, 100);
    }
}
