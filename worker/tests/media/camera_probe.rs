//! Probes of cameras that are not registered.

use std::net::TcpListener;

use rsm_shared::stream::camera_link::{CameraUrl, Credentials};
use rsm_shared::stream::rendition::RenditionSet;
use rsm_shared::stream::spec::{HlsParams, JpegParams, StreamSpec, Transport};
use rsm_shared::stream::state::StreamState;
use rsm_shared::wire::messages::{ProbeRequest, VERSION};
use rsm_worker::camera_probe::{CameraProbe, ProbeOutcome};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bench::{Bench, DEADLINE};
use crate::camera::CameraProcess;
use crate::mute_camera::MuteCamera;
use crate::scripted::{Reply, Scripted};

fn request(url: &str) -> ProbeRequest {
    let parsed = CameraUrl::parse(url).unwrap();
    let credentials = parsed.username.zip(parsed.password);
    let hls = HlsParams {
        segment_seconds: 1,
        window_segments: 6,
        part_ms: 0,
        always_on: false,
        renditions: RenditionSet::NONE,
    };
    let spec = StreamSpec {
        url: parsed.url,
        credentials: credentials.map(|(username, password)| Credentials { username, password }),
        transport: Transport::Tcp,
        tls_insecure: false,
        exclusive: false,
        hls,
    };
    ProbeRequest { v: VERSION, spec, jpeg: JpegParams { max_fps: 1, max_width: 160, quality: 80 } }
}

async fn probe(bench: &Bench, url: &str) -> ProbeOutcome {
    let (mut probe, stop) = (CameraProbe::default(), CancellationToken::new());
    let outcome = probe.run(bench.engine(), &request(url), Instant::now() + DEADLINE, &stop).await;
    probe.end().await;
    outcome
}

fn code(outcome: &ProbeOutcome) -> Option<&'static str> {
    outcome.reason.as_ref().map(|reason| reason.code.as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_shows_one_picture_within_the_bounds_that_were_asked_for() {
    let camera = CameraProcess::start(&[]);
    let bench = Bench::new();
    let outcome = probe(&bench, &camera.url("")).await;
    assert_eq!((outcome.state, code(&outcome)), (StreamState::Running, None));
    let (video, picture) = (outcome.video.unwrap(), outcome.picture.unwrap());
    assert_eq!((&*video.codec, video.width, video.height), ("h264", 320, 180));
    assert_eq!(rsm_media::jpeg::size(&picture), Some((160, 90)));
    // Nothing of it reaches viewers, or disk.
    assert_eq!(bench.sink.count(), 0);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_says_what_a_stream_of_that_camera_would_say() {
    let camera = CameraProcess::start(&["--username", "admin"]);
    let audio = "m=audio 0 RTP/AVP 8\r\na=control:a\r\n";
    let mute = Scripted::start(move |method, _| match method {
        "DESCRIBE" => Reply::description(audio),
        _ => Reply::status(200, "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"),
    });
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let bench = Bench::new();
    for (url, state, want) in [
        (camera.url("admin:not-the-one@"), StreamState::AuthFailed, "auth_failed"),
        (mute.url(), StreamState::Failed, "unsupported"),
        (format!("rtsp://{gone}/"), StreamState::Reconnecting, "refused"),
        ("rtsp://no-such-host.invalid/".into(), StreamState::Reconnecting, "name_not_found"),
    ] {
        let outcome = probe(&bench, &url).await;
        assert_eq!((outcome.state, code(&outcome)), (state, Some(want)), "{url}");
        let text = outcome.reason.unwrap().text;
        // A probe is not repeated.
        assert!(outcome.picture.is_none() && !text.contains("not-the-one") && !text.contains("next try"), "{text}");
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_is_stopped_gives_its_session_back() {
    let camera = MuteCamera::start();
    let bench = Bench::new();
    let (url, stop) = (camera.url(), CancellationToken::new());
    let asked = request(&url);
    let mut probe = CameraProbe::default();
    let stopping = async {
        bench.until("PLAY", || camera.was_asked("PLAY")).await;
        stop.cancel();
    };
    let (outcome, ()) = tokio::join!(probe.run(bench.engine(), &asked, Instant::now() + DEADLINE, &stop), stopping);
    probe.end().await;
    assert_eq!((outcome.state, code(&outcome)), (StreamState::Reconnecting, Some("no_worker")));
    assert!(camera.was_asked("TEARDOWN"));
    bench.close().await;
}
