//! `rsm worker` without cameras: every stream opens at once and shows a tiny key picture now and then, enough to count
//! as running. All else is the real worker. Configured by environment, as children of the bench are.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rsm_shared::config::Config;
use rsm_shared::ops::{shutdown, telemetry};
use rsm_shared::stream::spec::StreamSpec;
use rsm_worker::media::parameters::{VideoCodec, VideoParameters};
use rsm_worker::source::error::SourceError;
use rsm_worker::source::open::{Carrier, OpenTiming};
use rsm_worker::source::opener::{Opener, Synthetic};
use rsm_worker::source::{Source, SourceUnit};
use tokio_util::sync::CancellationToken;

/// Between two pictures of a stream: below the stall timeout, and rare, because ten thousand streams share the machine.
const PICTURE_EVERY: Duration = Duration::from_secs(2);
/// An instantaneous decoder refresh slice that nobody decodes, behind its length.
const PICTURE: &[u8] = &[0, 0, 0, 2, 0x65, 0x88];

struct Stub {
    video: Arc<VideoParameters>,
}

impl Opener for Stub {
    fn open<'a>(
        &'a self,
        _: &'a StreamSpec,
        _: Carrier,
        _: OpenTiming,
        _: &'a CancellationToken,
    ) -> BoxFuture<'a, Option<Result<Source, SourceError>>> {
        let pictures = Pictures { video: self.video.clone(), begun: Instant::now(), next: Instant::now() };
        std::future::ready(Some(Ok(Source::Synthetic(Box::new(pictures))))).boxed()
    }
}

struct Pictures {
    video: Arc<VideoParameters>,
    begun: Instant,
    next: Instant,
}

impl Synthetic for Pictures {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceUnit, SourceError>> {
        async {
            tokio::time::sleep_until(self.next.into()).await;
            self.next += PICTURE_EVERY;
            let arrived = Instant::now();
            Ok(SourceUnit {
                data: Bytes::from_static(PICTURE),
                time_ns: i64::try_from((arrived - self.begun).as_nanos()).unwrap_or(i64::MAX),
                is_key: true,
                arrived,
                captured: SystemTime::now(),
                video: self.video.clone(),
                sound: None,
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
    telemetry::start(&config.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&e.to_string()),
    };
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        shutdown::on_signal(stop.clone(), config.shutdown()).map_err(|e| e.to_string())?;
        let video = VideoParameters {
            codec: VideoCodec::H264,
            codec_data: Bytes::new(),
            rfc6381: "avc1.42c01e".to_owned(),
            width: 320,
            height: 180,
            reorder: Some(0),
            declared_fps: None,
        };
        let opener = Arc::new(Stub { video: Arc::new(video) });
        rsm_worker::app::run_with(config, "stub", stop, opener).await.map_err(|e| e.to_string())
    });
    runtime.shutdown_background();
    ended.map_or_else(|text| fail(&text), |()| ExitCode::SUCCESS)
}

fn fail(text: &str) -> ExitCode {
    eprintln!("rsm-stub-worker: {text}");
    ExitCode::FAILURE
}
