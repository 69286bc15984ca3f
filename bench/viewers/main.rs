//! `make bench-viewers`: frames that many viewers get from a relay, and their cost, beside the bare writing of the same
//! bytes. NATS, API, relay and all of the worker but its cameras are real; where cameras matter they are real too. It
//! prints figures beside their aims. The machine is shared with other programs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot go on ends, and its result is what it prints"
)]

#[path = "../../tests/harness/mod.rs"]
mod harness;
#[path = "../cost/machine.rs"]
mod machine;
#[allow(dead_code, reason = "the worker that sends them uses the rest")]
#[path = "../stamped.rs"]
mod stamped;
#[allow(dead_code, reason = "the other benches use the rest")]
#[path = "../usage.rs"]
mod usage;
#[path = "../windows.rs"]
mod windows;

mod counting_proxy;
mod crowd;
mod figures;
mod hls;
mod load;
mod part_process;
mod players;
mod report;
mod scene;
mod snapshot;
mod socket;
mod stalled;
mod storm;
mod turns;
mod wall;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use futures_util::FutureExt as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;

use report::{Aim, ViewersReport};
use windows::Windows;

/// Names of the measurements.
const CASES: [&str; 9] = ["crowd150", "crowd50", "crowd20", "streams", "stalled", "snapshot", "hls", "storm", "wall"];

#[derive(Parser)]
struct Arguments {
    /// Cases whose name begins with one of these, separated by commas; `--list` names them
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Names the cases
    #[arg(long)]
    list: bool,
    /// Length of a window, seconds (1 to 600)
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Windows of each side (1 to 50)
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=50))]
    windows: u64,
    /// Time for which viewers come and go, seconds (1 to 600)
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    churn_seconds: u64,
    /// Time for which the wall stays open in a browser, minutes
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Writes the figures to this file too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// Roles of this program when it runs once more, beside itself.
#[derive(Subcommand)]
enum Part {
    /// Many viewers that read orders from standard input
    #[command(hide = true)]
    Load,
    /// The same bytes without a relay
    #[command(hide = true)]
    Writer {
        #[arg(long)]
        bytes: usize,
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=60))]
        fps: u32,
    },
    /// HLS players
    #[command(hide = true)]
    Players {
        #[arg(long)]
        base: String,
        #[arg(long, value_delimiter = ',')]
        ids: Vec<i64>,
        #[arg(long)]
        count: usize,
        #[arg(long)]
        seconds: u64,
    },
}

fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    match &arguments.part {
        Some(Part::Load) => load::run(),
        Some(Part::Writer { bytes, fps }) => writer::run(*bytes, *fps),
        Some(Part::Players { base, ids, count, seconds }) => players::run(base, ids, *count, *seconds),
        None => measure(&arguments),
    }
}

fn measure(arguments: &Arguments) -> std::io::Result<()> {
    if arguments.list {
        CASES.iter().for_each(|case| println!("{case}"));
        return Ok(());
    }
    more_descriptors()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(run(arguments));
    report.summary();
    if let Some(path) = &arguments.json {
        let options = json!({ "only": arguments.only, "seconds": arguments.seconds, "windows": arguments.windows });
        report.write(path, &machine::machine(), &options)?;
    }
    Ok(())
}

async fn run(arguments: &Arguments) -> ViewersReport {
    let windows = Windows { count: arguments.windows, length: Duration::from_secs(arguments.seconds) };
    println!("{}\nmedians of {} windows of {} s\n", machine::machine(), windows.count, arguments.seconds);
    let mut report = ViewersReport::default();
    let wanted = |case: &&str| arguments.only.is_empty() || arguments.only.iter().any(|only| case.starts_with(only));
    for case in CASES.into_iter().filter(|case| wanted(case)) {
        let measured = std::panic::AssertUnwindSafe(one(&mut report, case, arguments, windows)).catch_unwind().await;
        // One that fails does not take the others with it.
        report.figure(case, "measured to its end", f64::from(u8::from(measured.is_ok())), "", Aim::AtLeast(1.0));
    }
    report
}

async fn one(report: &mut ViewersReport, case: &str, arguments: &Arguments, windows: Windows) {
    match case {
        "crowd150" => crowd::one_stream(report, case, crowd::Crowd::LARGE, windows).await,
        "crowd50" => crowd::one_stream(report, case, crowd::Crowd::MIDDLE, windows).await,
        "crowd20" => crowd::one_stream(report, case, crowd::Crowd::SMALL, windows).await,
        "streams" => crowd::many_streams(report, case, windows).await,
        "stalled" => stalled::beside_others(report, case, windows).await,
        "snapshot" => snapshot::measure(report, case).await,
        "hls" => hls::measure(report, case, windows).await,
        "storm" => storm::measure(report, case, arguments.churn_seconds).await,
        "wall" => wall::measure(report, case, arguments.minutes).await,
        other => unreachable!("{other}"),
    }
}

/// As many descriptors as the system lets a process have; children inherit it.
fn more_descriptors() -> std::io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
