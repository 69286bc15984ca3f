//! Metrics that every role has, and their exposition.

pub mod deaths;
pub mod log_lines;
pub mod process;
pub mod table;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, IntGaugeVec, Registry, TextEncoder};

use self::deaths::{DeathTable, DeathsSeen};
use self::log_lines::{LogLines, LogTable};
use self::process::{ProcessFacts, ProcessTable};
use self::table::{Seen, Spec};
use super::health::Health;

/// Media type of Prometheus' text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

crate::metrics_table! {
    /// Metrics of every role about itself.
    pub struct RoleTable {
        /// Always 1; the label says which version runs. Two versions for long: an update has stopped half-way.
        pub build: IntGaugeVec = "rsm_build_info" by ["version"],
        /// 1 while the control connection to NATS stands. At 0 nothing can be started or stopped, and what runs goes on:
        /// look after NATS and the network to it.
        pub nats_connected: IntGauge = "rsm_nats_connected",
    }
}

crate::metrics_table! {
    /// Metrics that are read from the health of a role.
    pub struct HealthTable {
        /// 1 while /health/ready says that this process can do its work; at 0 rsm_fault says why it cannot.
        pub ready: Seen = "rsm_ready",
        /// 1 for each dependency that is at fault now, and no sample for the others; /health/ready has a sentence for each.
        pub fault: Seen = "rsm_fault" by ["dependency"],
    }
}

/// Every metric that every role has.
pub fn specs() -> impl Iterator<Item = &'static Spec> {
    [RoleTable::SPECS, HealthTable::SPECS, LogTable::SPECS, DeathTable::SPECS, ProcessTable::SPECS]
        .into_iter()
        .flatten()
}

/// A registry with the metrics that every role has, and the gauge of its NATS connection.
///
/// # Errors
/// When a name is registered twice: a mistake in the program.
pub fn registry(version: &str, health: &Health) -> Result<(Registry, IntGauge), prometheus::Error> {
    let registry = Registry::new();
    let role = RoleTable::registered(&registry)?;
    role.build.with_label_values(&[version]).set(1);
    registry.register(Box::new(HealthSeen { table: HealthTable::unregistered()?, health: health.clone() }))?;
    registry.register(Box::new(LogLines::new()?))?;
    registry.register(Box::new(DeathsSeen::new()?))?;
    registry.register(Box::new(ProcessFacts::new()?))?;
    Ok((registry, role.nats_connected))
}

/// All metrics in Prometheus' text format.
///
/// # Errors
/// When a collector gives broken data: a mistake in the program.
pub fn render(registry: &Registry) -> Result<String, prometheus::Error> {
    TextEncoder::new().encode_to_string(&registry.gather())
}

struct HealthSeen {
    table: HealthTable,
    health: Health,
}

impl Collector for HealthSeen {
    fn desc(&self) -> Vec<&Desc> {
        vec![self.table.ready.desc(), self.table.fault.desc()]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now = self.health.readiness();
        let faults = now.reasons.keys().map(|dependency| ([dependency.as_str()], 1.0));
        vec![self.table.ready.value(f64::from(u8::from(now.ready))), self.table.fault.family(faults)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::health::Dependency;

    #[test]
    fn faults_are_shown_while_they_last() {
        let health = Health::default();
        let (registry, nats) = registry("1.2.3", &health).unwrap();
        nats.set(1);
        let text = || render(&registry).unwrap();
        let well = text();
        for line in ["rsm_ready 1\n", "rsm_build_info{version=\"1.2.3\"} 1\n", "rsm_nats_connected 1\n"] {
            assert!(well.contains(line), "{line} in {well}");
        }
        assert!(!well.contains("rsm_fault{"), "{well}");
        health.fault(Dependency::Disk, "the disk is full");
        let ill = text();
        assert!(ill.contains("rsm_ready 0\n") && ill.contains("rsm_fault{dependency=\"disk\"} 1\n"), "{ill}");
        health.well(Dependency::Disk);
        assert!(!text().contains("rsm_fault{"));
    }

    #[test]
    fn every_line_of_the_log_that_asks_for_attention_is_counted() {
        let (registry, _) = registry("test", &Health::default()).unwrap();
        let errors = || -> u64 {
            let text = render(&registry).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("rsm_log_lines_total{level=\"error\"} "));
            line.unwrap().parse().unwrap()
        };
        let before = errors();
        log_lines::count(&tracing::Level::INFO);
        log_lines::count(&tracing::Level::ERROR);
        // Other tests of this program may log, too.
        assert!(errors() > before);
        assert!(render(&registry).unwrap().contains("rsm_log_lines_total{level=\"warn\"} "));
    }
}
