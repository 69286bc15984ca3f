//! Running a pipeline: to Playing, what its bus says, and to Null on every way out.

use std::time::Duration;

use futures_util::StreamExt as _;
use gstreamer as gst;
use gstreamer::prelude::*;

use super::PipelineError;

/// Going to Null waits for the streaming threads. A decoder finishes its picture in milliseconds; an RTSP source
/// sends its TEARDOWN within the 100 ms of its own. Beyond this the pipeline is left to a thread of its own.
const TEARDOWN_DEADLINE: Duration = Duration::from_secs(3);
/// Going to Playing starts threads and opens a decoder, no network.
const START_DEADLINE: Duration = Duration::from_secs(5);

/// A pipeline that runs.
#[derive(Debug)]
pub(super) struct Running {
    /// `None` once it is on its way to Null.
    pipeline: Option<gst::Pipeline>,
    bus: gst::bus::BusStream,
}

/// What a bus tells that matters here.
#[derive(Debug)]
pub(super) enum BusNews {
    Error { element: String, error: gst::glib::Error, debug: String },
    Eos,
}

impl Running {
    /// Starts `pipeline`. State changes may wait for threads, so they run off the async threads.
    pub async fn start(pipeline: gst::Pipeline) -> Result<Self, PipelineError> {
        let bus = pipeline.bus().ok_or_else(|| PipelineError::build("no bus"))?.stream();
        let mut running = Self { pipeline: Some(pipeline.clone()), bus };
        let started = tokio::task::spawn_blocking(move || pipeline.set_state(gst::State::Playing).is_ok());
        match tokio::time::timeout(START_DEADLINE, started).await {
            Ok(Ok(true)) => Ok(running),
            Ok(_) => {
                let news = tokio::time::timeout(Duration::ZERO, running.news()).await;
                running.stop().await;
                Err(news.map_or(PipelineError::Ended, PipelineError::from))
            }
            Err(_) => Err(PipelineError::Stuck),
        }
    }

    /// The next error or end of stream. Everything else on the bus is dropped as it comes, so the bus stays empty.
    pub async fn news(&mut self) -> BusNews {
        loop {
            let Some(message) = self.bus.next().await else {
                return BusNews::Eos;
            };
            match message.view() {
                gst::MessageView::Error(error) => {
                    return BusNews::Error {
                        element: message.src().map_or_else(String::new, factory_name),
                        error: error.error(),
                        debug: error.debug().map_or_else(String::new, |text| text.to_string()),
                    };
                }
                gst::MessageView::Eos(_) => return BusNews::Eos,
                _ => {}
            }
        }
    }

    /// To Null, within a deadline. Returns once the threads of the pipeline are gone.
    pub async fn stop(mut self) {
        let Some(pipeline) = self.pipeline.take() else { return };
        let stopped = tokio::task::spawn_blocking(move || pipeline.set_state(gst::State::Null));
        if tokio::time::timeout(TEARDOWN_DEADLINE, stopped).await.is_err() {
            tracing::error!(
                seconds = TEARDOWN_DEADLINE.as_secs(),
                "a pipeline does not stop; its thread is left behind"
            );
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(pipeline) = self.pipeline.take() else { return };
        let to_null = move || {
            // Going down does not fail; what it would return is the state.
            let _ = pipeline.set_state(gst::State::Null);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(to_null)),
            Err(_) => to_null(),
        }
    }
}

impl From<BusNews> for PipelineError {
    fn from(news: BusNews) -> Self {
        match news {
            BusNews::Eos => Self::Ended,
            BusNews::Error { element, error, .. } => Self::Element { element, message: error.message().to_owned() },
        }
    }
}

fn factory_name(object: &gst::Object) -> String {
    object
        .downcast_ref::<gst::Element>()
        .and_then(gst::Element::factory)
        .map_or_else(|| object.type_().name().to_owned(), |factory| factory.name().to_string())
}
