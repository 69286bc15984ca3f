//! `rsm`: one binary, its roles composed here.

mod allocator;
mod children;
mod cli;
mod demo;
mod doctor;
mod exit;
mod links;
mod nats_server;
mod output;
mod top;
mod up;

use std::process::ExitCode;
use std::time::Duration;

use rsm_shared::config::Config;
use rsm_shared::ops::telemetry::{Causes, LogOrigin};
use rsm_shared::ops::{descriptors, process, shutdown, telemetry, traces};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cli::{Command, ConfigCommand};
use crate::exit::{EXIT_UNAVAILABLE, EXIT_USAGE, fail};

/// Shown in logs, `/metrics` and `--version`.
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    allocator::limit_heaps();
    let code = run();
    telemetry::flush();
    code
}

/// Runs the command of the command line.
fn run() -> ExitCode {
    let (command, mut config) = match cli::read() {
        Ok(read) => read,
        Err(exit) => return exit,
    };
    let role = match command {
        Command::Config(ConfigCommand::Show) => {
            let mut text = config.show();
            text.push_str("\n# What codes pictures on this machine, and why nothing before it in the order:\n");
            let codecs = rsm_worker::pipeline::hardware::describe(&config.worker);
            text.extend(codecs.lines().map(|line| format!("# {line}\n")));
            return output::finish(&text);
        }
        Command::Config(ConfigCommand::Check) => return output::finish("the configuration is valid\n"),
        Command::Doctor { options, invalid } => return doctor::run(&options, invalid.as_deref(), config),
        Command::Top { api, options } => return top::run(&options, api.as_deref(), config.api.listen),
        Command::Links { api, command } => return links::run(&command, api.as_deref(), config.api.listen),
        Command::Up(up) => {
            // Children inherit it.
            descriptors::raise();
            telemetry::start(&config.log, LogOrigin { role: "up", worker: None });
            return up::run(&up, config);
        }
        Command::Api => ServedRole::Api,
        Command::Relay => ServedRole::Relay,
        Command::Worker => ServedRole::Worker,
    };
    telemetry::start(&config.log, role.who(&config));
    fit_into_descriptors(role, &mut config);
    serve(role, config)
}

#[derive(Clone, Copy)]
enum ServedRole {
    Api,
    Relay,
    Worker,
}

impl ServedRole {
    /// Names under which a trace collector knows this process: the service, and its instance.
    fn service(self, config: &Config) -> (&'static str, String) {
        match self {
            Self::Api => ("rsm-api", process::unique()),
            Self::Relay => ("rsm-relay", process::unique()),
            Self::Worker => ("rsm-worker", worker_name(config)),
        }
    }

    /// The process name on every line of the log.
    fn who(self, config: &Config) -> LogOrigin {
        match self {
            Self::Api => LogOrigin { role: "api", worker: None },
            Self::Relay => LogOrigin { role: "relay", worker: None },
            Self::Worker => LogOrigin { role: "worker", worker: Some(worker_name(config)) },
        }
    }
}

/// Raises the limit of descriptors, and lowers the bounds of the configuration that do not fit into it: so a viewer too many
/// is refused in order, and descriptors are left for everything else.
fn fit_into_descriptors(role: ServedRole, config: &mut Config) {
    let limit = descriptors::raise();
    match role {
        ServedRole::Api | ServedRole::Relay => {
            let wanted = config.api.max_viewers;
            if let Some(viewers) = descriptors::lowered(limit, wanted) {
                warn!(limit, wanted, viewers, "the limit of descriptors is low: api.max_viewers is lowered");
                config.api.max_viewers = viewers;
            }
        }
        ServedRole::Worker => {}
    }
}

fn worker_name(config: &Config) -> String {
    config.worker.name.clone().unwrap_or_else(|| process::host_worker_name().to_string())
}

/// Runs a role until a signal, then lets it end in order.
fn serve(role: ServedRole, config: Config) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("cannot make the runtime: {e}"), EXIT_UNAVAILABLE),
    };
    let (service, instance) = role.service(&config);
    let exporter = runtime.block_on(async { traces::start(&config.traces, service, &instance, VERSION) });
    let exporter = match exporter {
        Ok(exporter) => exporter,
        Err(text) => return fail(&text, EXIT_UNAVAILABLE),
    };
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        shutdown::on_signal(stop.clone(), deadline(role, &config))
            .map_err(|e| (format!("cannot watch signals: {e}"), EXIT_UNAVAILABLE))?;
        match role {
            ServedRole::Api => rsm_api::process::serve::run(config, VERSION, stop).await.map_err(|e| unavailable(&e)),
            ServedRole::Relay => {
                rsm_viewing::process::relay::run(config, VERSION, stop).await.map_err(|e| unavailable(&e))
            }
            ServedRole::Worker => rsm_worker::app::run(config, VERSION, stop).await.map_err(|e| {
                let code = if e.is_usage() { EXIT_USAGE } else { EXIT_UNAVAILABLE };
                (Causes(&e).to_string(), code)
            }),
        }
    });
    if let Some(exporter) = exporter {
        exporter.stop();
    }
    // Work that still runs on other threads is abandoned: everything that must end in order has.
    runtime.shutdown_background();
    match ended {
        Ok(()) => {
            info!("ended");
            ExitCode::SUCCESS
        }
        Err((text, code)) => fail(&text, code),
    }
}

fn unavailable(error: &(dyn std::error::Error + 'static)) -> (String, u8) {
    (Causes(error).to_string(), EXIT_UNAVAILABLE)
}

/// From the first signal to the end by force: a worker's streams go on for a while before they end.
fn deadline(role: ServedRole, config: &Config) -> Duration {
    let drain = match role {
        ServedRole::Api | ServedRole::Relay => Duration::ZERO,
        ServedRole::Worker => Duration::from_secs(config.worker.drain_s),
    };
    drain + config.shutdown()
}
