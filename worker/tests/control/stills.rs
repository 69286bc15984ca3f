//! Cameras that show one picture over and over, while their shutter is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rsm_media::parameters::{VideoCodec, VideoParameters};
use rsm_shared::stream::spec::StreamSpec;
use rsm_worker::source::carrier::{Carrier, OpenTiming};
use rsm_worker::source::error::SourceError;
use rsm_worker::source::opener::Opener;
use rsm_worker::source::{Source, SourceUnit, Synthetic};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const PICTURE: &[u8] = include_bytes!("../../src/pipeline/trial/picture.jpg");

/// Opens sessions at once.
#[derive(Default)]
pub struct Stills {
    /// True when pictures come. A receiver for each session that is open.
    shutter: watch::Sender<bool>,
    /// Sessions that were open at a time, at most.
    most: AtomicUsize,
}

struct Session {
    video: Arc<VideoParameters>,
    begun: Instant,
    shutter: watch::Receiver<bool>,
}

impl Stills {
    pub fn shutter(&self, open: bool) {
        self.shutter.send_replace(open);
    }

    pub fn open_sessions(&self) -> usize {
        self.shutter.receiver_count()
    }

    pub fn most_sessions(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

impl Opener for Stills {
    fn open<'a>(
        &'a self,
        _: &'a StreamSpec,
        _: Carrier,
        _: OpenTiming,
        _: &'a CancellationToken,
    ) -> BoxFuture<'a, Option<Result<Source, SourceError>>> {
        let video = Arc::new(VideoParameters {
            codec: VideoCodec::Jpeg,
            codec_data: Bytes::new(),
            rfc6381: "jpeg".into(),
            width: 320,
            height: 240,
            reorder: Some(0),
            declared_fps: None,
        });
        let session = Session { video, begun: Instant::now(), shutter: self.shutter.subscribe() };
        self.most.fetch_max(self.open_sessions(), Ordering::Relaxed);
        Box::pin(std::future::ready(Some(Ok(Source::Synthetic(Box::new(session))))))
    }
}

impl Synthetic for Session {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceUnit, SourceError>> {
        Box::pin(async {
            self.shutter.wait_for(|open| *open).await.map_err(|_| SourceError::Ended)?;
            // As a camera would, not as fast as they are taken.
            tokio::time::sleep(Duration::from_millis(40)).await;
            Ok(SourceUnit {
                data: Bytes::from_static(PICTURE),
                time_ns: i64::try_from(self.begun.elapsed().as_nanos()).unwrap(),
                is_key: true,
                arrived: Instant::now(),
                captured: SystemTime::now(),
                video: self.video.clone(),
                audio: None,
            })
        })
    }
}
