//! Live workers, as the reconciler publishes them.

/// A live worker, for Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerInfo {
    pub worker: String,
    /// Address of its metrics: `host:port`.
    pub http: String,
}
