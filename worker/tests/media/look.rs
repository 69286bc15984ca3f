//! Looks at cameras that are not registered.

use std::net::TcpListener;

use rsm_shared::stream::camera_link::{CameraUrl, Credentials};
use rsm_shared::stream::rendition::RenditionSet;
use rsm_shared::stream::spec::{HlsParams, JpegParams, StreamSpec, Transport};
use rsm_shared::stream::state::StreamState;
use rsm_shared::wire::messages::{LookRequest, VERSION};
use rsm_worker::look::{Glance, Seen};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bench::{Bench, DEADLINE};
use crate::camera::Camera;
use crate::mute_camera::MuteCamera;
use crate::scripted::{Reply, Scripted};

fn request(url: &str) -> LookRequest {
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
        hls,
    };
    LookRequest { v: VERSION, spec, jpeg: JpegParams { max_fps: 1, max_width: 160, quality: 80 } }
}

async fn look(bench: &Bench, url: &str) -> Seen {
    let (mut glance, stop) = (Glance::default(), CancellationToken::new());
    let seen = glance.at(bench.engine(), &request(url), Instant::now() + DEADLINE, &stop).await;
    glance.end().await;
    seen
}

fn code(seen: &Seen) -> Option<&'static str> {
    seen.reason.as_ref().map(|reason| reason.code.as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_shows_one_picture_within_the_bounds_that_were_asked_for() {
    let camera = Camera::start(&[]);
    let bench = Bench::new();
    let seen = look(&bench, &camera.url("")).await;
    assert_eq!((seen.state, code(&seen)), (StreamState::Running, None));
    let (video, picture) = (seen.video.unwrap(), seen.picture.unwrap());
    assert_eq!((&*video.codec, video.width, video.height), ("h264", 320, 180));
    assert_eq!(rsm_worker::output::jpeg::pass_through::size(&picture), Some((160, 90)));
    // Nothing of it reaches viewers, or disk.
    assert_eq!(bench.sink.count(), 0);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_says_what_a_stream_of_that_camera_would_say() {
    let camera = Camera::start(&["--username", "admin"]);
    let sound = "m=audio 0 RTP/AVP 8\r\na=control:a\r\n";
    let mute = Scripted::start(move |method, _| match method {
        "DESCRIBE" => Reply::description(sound),
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
        let seen = look(&bench, &url).await;
        assert_eq!((seen.state, code(&seen)), (state, Some(want)), "{url}");
        let text = seen.reason.unwrap().text;
        // Nobody tries again by itself.
        assert!(seen.picture.is_none() && !text.contains("not-the-one") && !text.contains("next try"), "{text}");
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_that_is_stopped_gives_its_session_back() {
    let camera = MuteCamera::start();
    let bench = Bench::new();
    let (url, stop) = (camera.url(), CancellationToken::new());
    let asked = request(&url);
    let mut glance = Glance::default();
    let stopping = async {
        bench.until("PLAY", || camera.was_asked("PLAY")).await;
        stop.cancel();
    };
    let (seen, ()) = tokio::join!(glance.at(bench.engine(), &asked, Instant::now() + DEADLINE, &stop), stopping);
    glance.end().await;
    assert_eq!((seen.state, code(&seen)), (StreamState::Reconnecting, Some("no_worker")));
    assert!(camera.was_asked("TEARDOWN"));
    bench.close().await;
}
