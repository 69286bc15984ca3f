//! `rsm worker` without cameras: every stream opens at once and shows a tiny key picture now and then, enough to count
//! as running. With `RSM_STUB_FRAME_BYTES` it shows JPEG pictures of that size instead, `RSM_STUB_FPS` of them a second,
//! `RSM_STUB_WIDTH` pixels wide. All else is the real worker. Configured by environment, as children of the bench are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot go on ends, and its result is what it prints"
)]

#[allow(dead_code, reason = "the receivers of the pictures use the rest")]
mod stamped;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rsm_media::parameters::{VideoCodec, VideoParameters};
use rsm_shared::config::Config;
use rsm_shared::ops::{shutdown, telemetry};
use rsm_shared::stream::spec::StreamSpec;
use rsm_worker::source::carrier::{Carrier, OpenTiming};
use rsm_worker::source::error::SourceError;
use rsm_worker::source::opener::Opener;
use rsm_worker::source::{Source, SourceUnit, Synthetic};
use tokio_util::sync::CancellationToken;

/// Between two pictures of a stream: below the stall timeout, and rare, because ten thousand streams share the machine.
const PICTURE_EVERY: Duration = Duration::from_secs(2);
/// An instantaneous decoder refresh slice that is never decoded, behind its length.
const PICTURE: &[u8] = &[0, 0, 0, 2, 0x65, 0x88];

struct Stub {
    video: Arc<VideoParameters>,
    shown: Shown,
}

/// Pictures that the streams show.
#[derive(Clone)]
enum Shown {
    Tiny,
    /// So many a second.
    Jpeg(Arc<stamped::StampedPictures>, u32),
}

impl Shown {
    fn from_environment() -> Result<Self, String> {
        let number = |name: &str| match std::env::var(name) {
            Ok(text) => text.parse::<u32>().map(Some).map_err(|_| format!("{name} is not a number: {text}")),
            Err(_) => Ok(None),
        };
        let fps = number("RSM_STUB_FPS")?.unwrap_or(10).clamp(1, 60);
        Ok(match number("RSM_STUB_FRAME_BYTES")? {
            Some(bytes) => {
                let width = number("RSM_STUB_WIDTH")?.unwrap_or(stamped::WIDTH).clamp(64, 3840);
                Self::Jpeg(Arc::new(stamped::StampedPictures::of(bytes as usize, width)), fps)
            }
            None => Self::Tiny,
        })
    }

    fn video(&self) -> VideoParameters {
        let (codec, rfc6381, width, height) = match self {
            Self::Tiny => (VideoCodec::H264, "avc1.42c01e", 320, 180),
            Self::Jpeg(pictures, _) => (VideoCodec::Jpeg, "", pictures.width, pictures.height),
        };
        VideoParameters {
            codec,
            codec_data: Bytes::new(),
            rfc6381: rfc6381.to_owned(),
            width,
            height,
            reorder: Some(0),
            declared_fps: None,
        }
    }

    /// From the beginning to a picture, by the plan.
    fn time(&self, number: u64) -> Duration {
        match self {
            Self::Tiny => PICTURE_EVERY * u32::try_from(number).unwrap_or(u32::MAX),
            Self::Jpeg(_, fps) => Duration::from_nanos(number * 1_000_000_000 / u64::from(*fps)),
        }
    }

    fn picture(&self, number: u64) -> Bytes {
        match self {
            Self::Tiny => Bytes::from_static(PICTURE),
            Self::Jpeg(pictures, _) => pictures.write(number, &[]).into(),
        }
    }
}

impl Opener for Stub {
    fn open<'a>(
        &'a self,
        _: &'a StreamSpec,
        _: Carrier,
        _: OpenTiming,
        _: &'a CancellationToken,
    ) -> BoxFuture<'a, Option<Result<Source, SourceError>>> {
        let pictures =
            StubPictures { video: self.video.clone(), shown: self.shown.clone(), begun: Instant::now(), number: 0 };
        std::future::ready(Some(Ok(Source::Synthetic(Box::new(pictures))))).boxed()
    }
}

struct StubPictures {
    video: Arc<VideoParameters>,
    shown: Shown,
    begun: Instant,
    /// Number of the next picture.
    number: u64,
}

impl Synthetic for StubPictures {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceUnit, SourceError>> {
        async {
            let time = self.shown.time(self.number);
            tokio::time::sleep_until((self.begun + time).into()).await;
            let data = self.shown.picture(self.number);
            self.number += 1;
            Ok(SourceUnit {
                data,
                time_ns: i64::try_from(time.as_nanos()).unwrap_or(i64::MAX),
                is_key: true,
                arrived: Instant::now(),
                captured: SystemTime::now(),
                video: self.video.clone(),
                audio: None,
            })
        }
        .boxed()
    }
}

fn main() -> ExitCode {
    let config = match Config::load(None, &[]) {
        Ok(config) => config,
        Err(e) => return fail(&e.to_string()),
    };
    let shown = match Shown::from_environment() {
        Ok(shown) => shown,
        Err(e) => return fail(&e),
    };
    telemetry::start(&config.log, telemetry::LogOrigin { role: "worker", worker: config.worker.name.clone() });
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&e.to_string()),
    };
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        shutdown::on_signal(stop.clone(), config.shutdown()).map_err(|e| e.to_string())?;
        let opener = Arc::new(Stub { video: Arc::new(shown.video()), shown });
        rsm_worker::app::run_with(config, "stub", stop, opener).await.map_err(|e| e.to_string())
    });
    runtime.shutdown_background();
    ended.map_or_else(|text| fail(&text), |()| ExitCode::SUCCESS)
}

fn fail(text: &str) -> ExitCode {
    eprintln!("rsm-stub-worker: {text}");
    ExitCode::FAILURE
}
