//! Camera sessions of a program that has no cameras.

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

/// Opens sessions that give a tiny key frame every 100 ms.
#[derive(Default)]
pub struct NoCamera {
    /// Number of times that all sessions were ended.
    ended: watch::Sender<u64>,
    opened: AtomicUsize,
}

struct Session {
    video: Arc<VideoParameters>,
    begun: Instant,
    ended: watch::Receiver<u64>,
}

impl NoCamera {
    pub fn end_sessions(&self) {
        self.ended.send_modify(|times| *times += 1);
    }

    /// Sessions so far.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    pub fn open_sessions(&self) -> usize {
        self.ended.receiver_count()
    }
}

impl Opener for NoCamera {
    fn open<'a>(
        &'a self,
        _: &'a StreamSpec,
        _: Carrier,
        _: OpenTiming,
        _: &'a CancellationToken,
    ) -> BoxFuture<'a, Option<Result<Source, SourceError>>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let video = Arc::new(VideoParameters {
            codec: VideoCodec::H264,
            codec_data: Bytes::new(),
            rfc6381: "avc1.42c00c".into(),
            width: 16,
            height: 16,
            reorder: Some(0),
            declared_fps: None,
        });
        let session = Session { video, begun: Instant::now(), ended: self.ended.subscribe() };
        Box::pin(std::future::ready(Some(Ok(Source::Synthetic(Box::new(session))))))
    }
}

impl Synthetic for Session {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceUnit, SourceError>> {
        Box::pin(async {
            tokio::select! {
                _ = self.ended.changed() => Err(SourceError::Ended),
                () = tokio::time::sleep(Duration::from_millis(100)) => Ok(SourceUnit {
                    data: Bytes::from_static(&[0]),
                    time_ns: i64::try_from(self.begun.elapsed().as_nanos()).unwrap(),
                    is_key: true,
                    arrived: Instant::now(),
                    captured: SystemTime::now(),
                    video: self.video.clone(),
                    audio: None,
                }),
            }
        })
    }
}
