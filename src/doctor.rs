//! `rsm doctor`: checks everything that a role of `rsm` needs, and names what to install or change. Nothing has to run
//! for it, and running processes are not disturbed.

mod clock;
mod machine;
mod media;
mod nats;
mod patient;
mod place;
mod ports;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rsm_shared::config::Config;

use self::patient::Patient;
pub use self::patient::RoleName;
use self::report::{Check, Report};
use crate::exit::{EXIT_UNAVAILABLE, fail};

/// Time limit of one check: a check that hangs is given up and reported.
const DEADLINE: Duration = Duration::from_secs(12);

/// Options of `rsm doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorOptions {
    /// Only the needs of this role, and strictly; without it those of `rsm up`
    #[arg(long, value_enum)]
    role: Option<RoleName>,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// Runs the checks, prints the report, and ends with 0, or with 1 when something has to be repaired.
pub fn run(options: &DoctorOptions, invalid: Option<&str>, config: Config) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("cannot make the runtime: {e}"), EXIT_UNAVAILABLE),
    };
    let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).no_proxy().build();
    let http = match http {
        Ok(http) => http,
        Err(e) => return fail(&format!("cannot make an HTTP client: {e}"), EXIT_UNAVAILABLE),
    };
    let patient = Patient { config, role: options.role, readable: invalid.is_none(), http };
    let mut checks = vec![match invalid {
        None => Check::ok("configuration", "valid"),
        Some(text) => Check::failure("configuration", text, "mend it; `rsm config check` says more"),
    }];
    checks.extend(runtime.block_on(examine(&patient)));
    // Threads that hang in a driver or on a disk are left behind.
    runtime.shutdown_background();
    let report = Report { checks };
    if let Err(text) = report.print(options.json) {
        return fail(&text, EXIT_UNAVAILABLE);
    }
    if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs all checks side by side; their results are in the order in which a system is set up.
async fn examine(patient: &Patient) -> Vec<Check> {
    let media = patient.does(RoleName::Worker);
    // Not before the running processes are known.
    let running = if patient.readable { ports::running(patient).await } else { ports::RunningProcesses::default() };
    let running = &running;
    let (machine, time, media, place, ports, nats) = tokio::join!(
        blocking("machine", patient, machine::look),
        within("clock", clock::look(patient, running)),
        async { if media { blocking("gstreamer", patient, media::look).await } else { Vec::new() } },
        async { if patient.readable { blocking("data_dir", patient, place::look).await } else { Vec::new() } },
        async { if patient.readable { within("ports", ports::look(patient, running)).await } else { Vec::new() } },
        within("nats", nats::look(patient, running)),
    );
    [media, nats, place, ports, time, machine].into_iter().flatten().collect()
}

async fn within(what: &'static str, look: impl Future<Output = Vec<Check>>) -> Vec<Check> {
    tokio::time::timeout(DEADLINE, look).await.unwrap_or_else(|_| vec![late(what)])
}

/// Runs a check that blocks on files, devices or libraries.
async fn blocking(what: &'static str, patient: &Patient, look: fn(&Patient) -> Vec<Check>) -> Vec<Check> {
    let patient = patient.clone();
    let looked = tokio::task::spawn_blocking(move || look(&patient));
    match tokio::time::timeout(DEADLINE, looked).await {
        Ok(Ok(checks)) => checks,
        Ok(Err(_)) => vec![Check::failure(what, "the look at it broke off", "tell us what this machine has")],
        Err(_) => vec![late(what)],
    }
}

fn late(what: &'static str) -> Check {
    let found = format!("no result within {} s", DEADLINE.as_secs());
    Check::warning(what, found, "a device, a disk or a network hangs; try again when the machine is less busy")
}
