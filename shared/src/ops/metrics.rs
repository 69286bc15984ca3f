//! What every role measures of itself, and how it is shown.

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

/// Media type of Prometheus' text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A registry with the metrics that every role has, and the gauge of its NATS connection.
///
/// # Errors
/// When a name is registered twice: a mistake in the program.
pub fn registry(version: &str) -> Result<(Registry, IntGauge), prometheus::Error> {
    let registry = Registry::new();
    let build =
        IntGaugeVec::new(Opts::new("rsm_build_info", "Always 1; the label says which version runs"), &["version"])?;
    build.with_label_values(&[version]).set(1);
    registry.register(Box::new(build))?;
    let nats = IntGauge::new(
        "rsm_nats_connected",
        "1 while the control connection to NATS stands; at 0 nothing can be started or stopped",
    )?;
    registry.register(Box::new(nats.clone()))?;
    Ok((registry, nats))
}

/// All metrics in Prometheus' text format.
///
/// # Errors
/// When a collector gives broken data: a mistake in the program.
pub fn render(registry: &Registry) -> Result<String, prometheus::Error> {
    TextEncoder::new().encode_to_string(&registry.gather())
}
