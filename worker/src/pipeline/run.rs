//! Running a pipeline: to Playing, reading its bus, and to Null on every way out.

use std::time::Duration;

use futures_util::StreamExt as _;
use gstreamer as gst;
use gstreamer::prelude::*;
use tokio::task::JoinHandle;

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
    pipeline: Option<Ending>,
    /// The change to Playing while it runs. Null waits for it: overtaken by Null it would start a pipeline that
    /// is never stopped.
    starting: Option<JoinHandle<bool>>,
    bus: gst::bus::BusStream,
}

/// Goes to Null however it is dropped, also when the runtime ends and drops the task that was to stop it: a pipeline
/// that is freed while its threads run takes the process with it.
#[derive(Debug)]
struct Ending(gst::Pipeline);

impl Drop for Ending {
    fn drop(&mut self) {
        // Going down does not fail; the result would only be the state.
        let _ = self.0.set_state(gst::State::Null);
    }
}

/// The messages of a bus that matter here.
#[derive(Debug)]
pub(super) enum BusNews {
    Error { element: String, error: gst::glib::Error, debug: String },
    Eos,
}

impl Running {
    /// Starts `pipeline`. State changes may wait for threads, so they run off the async threads.
    pub async fn start(pipeline: gst::Pipeline) -> Result<Self, PipelineError> {
        let bus = pipeline.bus().ok_or_else(|| PipelineError::build("no bus"))?.stream();
        let playing = pipeline.clone();
        let starting = tokio::task::spawn_blocking(move || playing.set_state(gst::State::Playing).is_ok());
        let mut running = Self { pipeline: Some(Ending(pipeline)), starting: Some(starting), bus };
        match tokio::time::timeout(START_DEADLINE, running.started()).await {
            Ok(true) => Ok(running),
            Ok(false) => {
                let news = tokio::time::timeout(Duration::ZERO, running.news()).await;
                running.stop().await;
                Err(news.map_or(PipelineError::Ended, PipelineError::from))
            }
            Err(_) => Err(PipelineError::Stuck),
        }
    }

    /// Waits for Playing; `false` when it is refused. Cancel safe.
    async fn started(&mut self) -> bool {
        let Some(starting) = &mut self.starting else { return true };
        let started = starting.await;
        self.starting = None;
        started.unwrap_or(false)
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

    /// The next error. For a pipeline whose output tells its end itself, once all of it is taken.
    pub async fn failed(&mut self) -> PipelineError {
        match self.news().await {
            BusNews::Eos => std::future::pending().await,
            news => news.into(),
        }
    }

    /// To Null, within a deadline. Returns once the threads of the pipeline are gone.
    pub async fn stop(mut self) {
        let Some(pipeline) = self.pipeline.take() else { return };
        // A task of its own, so that past the deadline it goes on.
        let stopped = tokio::spawn(to_null(pipeline, self.starting.take()));
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
        // Without a runtime it is stopped here.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(to_null(pipeline, self.starting.take()));
        }
    }
}

async fn to_null(pipeline: Ending, starting: Option<JoinHandle<bool>>) {
    if let Some(starting) = starting {
        // However it went, it is over.
        let _ = starting.await;
    }
    // Fails only when the runtime ends; then it is stopped by being dropped.
    let _ = tokio::task::spawn_blocking(move || drop(pipeline)).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::elements;
    use std::future::pending;
    use std::task::Poll;
    use tokio::time::Instant;

    #[tokio::test]
    async fn a_start_dropped_half_way_ends_in_null() {
        elements::init().unwrap();
        for _ in 0..20 {
            let pipeline = gst::Pipeline::new();
            let (src, sink) = (elements::make("appsrc").unwrap(), elements::make("appsink").unwrap());
            pipeline.add_many([&src, &sink]).unwrap();
            src.link(&sink).unwrap();
            let seen = pipeline.clone();
            {
                let start = Running::start(pipeline);
                tokio::pin!(start);
                // The change to Playing has begun, or is about to.
                assert!(matches!(futures_util::poll!(&mut start), Poll::Pending | Poll::Ready(Ok(_))));
            }
            let deadline = Instant::now() + Duration::from_secs(10);
            // No other owner is left once both state changes are over.
            while seen.ref_count() > 1 {
                assert!(Instant::now() < deadline, "still {:?}", seen.current_state());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(seen.current_state(), gst::State::Null);
        }
    }

    #[test]
    fn the_end_of_the_runtime_is_the_end_of_what_runs_and_of_what_is_being_stopped() {
        elements::init().unwrap();
        for stops in [false, true] {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let pipeline = gst::Pipeline::new();
            let (src, sink) = (elements::make("appsrc").unwrap(), elements::make("appsink").unwrap());
            pipeline.add_many([&src, &sink]).unwrap();
            src.link(&sink).unwrap();
            let running = runtime.block_on(Running::start(pipeline.clone())).unwrap();
            runtime.spawn(async move {
                if stops {
                    running.stop().await;
                } else {
                    pending::<()>().await;
                    drop(running);
                }
            });
            runtime.block_on(tokio::task::yield_now());
            drop(runtime);
            assert_eq!(pipeline.current_state(), gst::State::Null, "{stops}");
        }
    }
}
