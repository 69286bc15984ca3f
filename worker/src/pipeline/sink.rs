//! The end of a pipeline that encodes: what comes out of it goes into a channel, whose fill slows the pipeline down.

use std::sync::Arc;

use gstreamer as gst;
use gstreamer_app as gst_app;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A sample that cannot be read; the pipeline fails with it.
#[derive(Debug)]
pub struct UnreadableSample;

/// An appsink that sends what `read` makes of each sample, and nothing for `None`. The receiver ends with the stream.
/// While the channel is full the pipeline's own thread waits, until `stopping`. To be called within a tokio runtime.
pub fn into_channel<T: Send + 'static>(
    sender: mpsc::Sender<T>,
    stopping: &CancellationToken,
    mut read: impl FnMut(gst::Sample) -> Result<Option<T>, UnreadableSample> + Send + 'static,
) -> gst_app::AppSink {
    // Dropped at the end of stream, which ends the receiver.
    let sender = Arc::new(Mutex::new(Some(sender)));
    let at_end = sender.clone();
    let current = move || sender.lock().clone();
    let (stopping, runtime) = (stopping.clone(), tokio::runtime::Handle::current());
    let callbacks = gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let Some(sender) = current() else { return Err(gst::FlowError::Eos) };
            let encoded = match read(sample) {
                Ok(Some(encoded)) => encoded,
                Ok(None) => return Ok(gst::FlowSuccess::Ok),
                Err(UnreadableSample) => return Err(gst::FlowError::Error),
            };
            // This is the pipeline's own thread; waiting here is how it is slowed down.
            let sent = runtime.block_on(async {
                tokio::select! {
                    sent = sender.send(encoded) => sent.is_ok(),
                    () = stopping.cancelled() => false,
                }
            });
            if sent { Ok(gst::FlowSuccess::Ok) } else { Err(gst::FlowError::Eos) }
        })
        .eos(move |_| drop(at_end.lock().take()))
        .build();
    gst_app::AppSink::builder().sync(false).async_(false).enable_last_sample(false).callbacks(callbacks).build()
}
