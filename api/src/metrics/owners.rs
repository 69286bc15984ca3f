//! Values that only the API can look up when Prometheus asks, because workers report them. Every answer is made anew, so
//! that removed streams leave nothing behind.

use prometheus::Error;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use rsm_shared::ops::metrics::table::Seen;
use rsm_viewing::streams::Streams;

rsm_shared::metrics_table! {
    /// Values that only the API can look up, because workers report them.
    pub struct OwnersTable {
        /// Since the last picture came from the camera, to a second; no sample while no worker owns the stream. When it grows,
        /// the camera is silent: its status tells the remedy.
        pub frame_age: Seen = "rsm_stream_last_frame_age_seconds" by ["stream"],
        /// 1 for the worker that owns a stream; no sample while no worker does.
        pub stream_worker: Seen = "rsm_stream_worker" by ["stream", "worker"],
    }
}

/// Collects the owners of streams from the table that they are kept in.
pub struct OwnersCollector {
    streams: Streams,
    table: OwnersTable,
}

impl OwnersCollector {
    /// Reads `streams` when asked.
    ///
    /// # Errors
    /// When a name or label is not valid: a mistake in the program.
    pub fn new(streams: Streams) -> Result<Self, Error> {
        Ok(Self { streams, table: OwnersTable::unregistered()? })
    }
}

impl Collector for OwnersCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![self.table.frame_age.desc(), self.table.stream_worker.desc()]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let streams: Vec<_> = self.streams.all().into_iter().map(|stream| (stream.view(), stream)).collect();
        let ages = streams
            .iter()
            .filter_map(|(_, stream)| Some(([stream.slug.as_str()], stream.last_media()?.elapsed().as_secs_f64())));
        let workers =
            streams.iter().filter_map(|(view, stream)| Some(([stream.slug.as_str(), view.worker.as_deref()?], 1.0)));
        vec![self.table.frame_age.family(ages), self.table.stream_worker.family(workers)]
    }
}
