//! `rsm`: one binary, its roles composed here.

mod allocator;
mod children;
mod cli;
mod demo;
mod doctor;
mod exit;
mod links;
mod nats_server;
mod top;
mod up;

use std::process::ExitCode;
use std::time::Duration;

use rsm_shared::config::Config;
use rsm_shared::ops::telemetry::{Causes, LogOrigin};
use rsm_shared::ops::{process, shutdown, telemetry, traces};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::cli::{Command, ConfigCommand};
use crate::exit::{EXIT_UNAVAILABLE, EXIT_USAGE, fail};

/// Shown in logs, `/metrics` and `--version`.
const VERSION: &str = env!("CARGO_PKG_VERSION");
#[expect(clippy::print_stdout, reason = "what the command prints is its result")]
fn main() -> ExitCode {
    allocator::limit_heaps();
    let (command, config) = match cli::read() {
        Ok(read) => read,
        Err(exit) => return exit,
    };
    let role = match command {
        Command::Config(ConfigCommand::Show) => {
            print!("{}", config.show());
            println!("\n# What codes pictures on this machine, and why nothing before it in the order:");
            rsm_worker::pipeline::hardware::describe(&config.worker).lines().for_each(|line| println!("# {line}"));
            return ExitCode::SUCCESS;
        }
        Command::Config(ConfigCommand::Check) => {
            println!("the configuration is valid");
            return ExitCode::SUCCESS;
        }
        Command::Doctor { options, invalid } => return doctor::run(&options, invalid.as_deref(), config),
        Command::Top { api, options } => return top::run(&options, api.as_deref(), config.api.listen),
        Command::Links { api, command } => return links::run(&command, api.as_deref(), config.api.listen),
        Command::Up(up) => {
            telemetry::start(&config.log, LogOrigin { role: "up", worker: None });
            return up::run(&up, config);
        }
        Command::Api => ServedRole::Api,
        Command::Relay => ServedRole::Relay,
        Command::Worker => ServedRole::Worker,
    };
    telemetry::start(&config.log, role.who(&config));
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
