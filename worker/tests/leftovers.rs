//! Sessions by rtspsrc leave nothing behind. Alone in its process, because it counts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails by a panic, and shows what it saw"
)]

#[allow(dead_code, reason = "tests/media uses all of it")]
#[path = "media/camera.rs"]
mod camera;
#[allow(dead_code, reason = "tests/media uses all of it")]
#[path = "media/scripted.rs"]
mod scripted;

use std::time::{Duration, Instant};

use rsm_shared::stream::camera_link::CameraUrl;
use rsm_shared::stream::rendition::RenditionSet;
use rsm_shared::stream::spec::{HlsParams, StreamSpec, Transport};
use rsm_worker::pipeline::elements;
use rsm_worker::source::Source;
use rsm_worker::source::carrier::{Carrier, OpenTiming};
use rsm_worker::source::error::SourceError;
use rsm_worker::source::open::{AddressPolicy, open};
use tokio_util::sync::CancellationToken;

use camera::CameraProcess;
use scripted::{Reply, Scripted};

const DEADLINE: Duration = Duration::from_secs(60);

fn spec(url: &str, transport: Transport) -> StreamSpec {
    StreamSpec {
        url: CameraUrl::parse(url).unwrap().url,
        credentials: None,
        transport,
        tls_insecure: true,
        hls: HlsParams {
            segment_seconds: 1,
            window_segments: 6,
            part_ms: 0,
            always_on: false,
            renditions: RenditionSet::NONE,
        },
    }
}

async fn session(spec: &StreamSpec, cancel: &CancellationToken) -> Option<Result<Source, SourceError>> {
    let timing = OpenTiming { step: Duration::from_secs(10), auth_retry: Duration::from_secs(300) };
    let cancelled = Box::pin(cancel.cancelled());
    open(spec, Carrier::Rtspsrc, &AddressPolicy::any(), timing, cancelled).await
}

/// Files and sockets, and threads, of this process.
fn held() -> (usize, usize) {
    let count = |path: &str| std::fs::read_dir(path).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

/// One of each end that a session can have.
async fn a_round(good: &[StreamSpec], bad: &[StreamSpec], mute: &StreamSpec, asked: impl Fn() -> usize) {
    let never = CancellationToken::new();
    for stream in good {
        let mut source = session(stream, &never).await.unwrap().unwrap();
        source.next().await.unwrap();
        source.close().await;
    }
    for stream in bad {
        assert!(session(stream, &never).await.unwrap().is_err());
    }
    // Given up while the camera says nothing.
    let (cancel, before) = (CancellationToken::new(), asked());
    let (opened, ()) = tokio::join!(session(mute, &cancel), async {
        let began = Instant::now();
        while asked() == before {
            assert!(began.elapsed() < DEADLINE, "the camera was not asked");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cancel.cancel();
    });
    assert!(opened.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tens_of_sessions_leave_no_thread_and_no_file_behind() {
    elements::init().unwrap();
    let plain = CameraProcess::start(&["--audio", "pcma"]);
    let secure = CameraProcess::start(&["--tls"]);
    let silent = Scripted::start(|_, _| Reply::Silence);
    let busy = Scripted::start(|_, _| Reply::status(453, ""));
    let web = Scripted::start(|_, _| Reply::Bytes("HTTP/1.1 400 Bad Request\r\n\r\n".into()));
    let good = [
        spec(&plain.url(""), Transport::Tcp),
        spec(&plain.url(""), Transport::Udp),
        spec(&secure.url(""), Transport::Tcp),
    ];
    let bad = [spec(&busy.url(), Transport::Tcp), spec(&web.url(), Transport::Tcp)];
    let mute = spec(&silent.url(), Transport::Tcp);
    let round = || a_round(&good, &bad, &mute, || silent.asked().len());

    // Threads and files that GStreamer and tokio make once stay.
    for _ in 0..2 {
        round().await;
    }
    let before = held();
    for _ in 0..8 {
        round().await;
    }
    // The scripted cameras, which live here, see a little later that they were left.
    let began = Instant::now();
    loop {
        let now = held();
        // Threads and files of pools come and go by a few; a leak shows 48 times.
        if now.0 <= before.0 + 8 && now.1 <= before.1 + 8 {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "{before:?} became {now:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
