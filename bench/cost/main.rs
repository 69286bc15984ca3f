//! `make bench-cost`: the cost of a camera here, and of the same work with ffmpeg, in one run on one machine. It prints
//! figures and judges nothing. The machine is shared with other programs: where both sides fit
//! beside each other they are measured at the same time, else in turns.

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
#[allow(dead_code, reason = "the other benches use the rest")]
#[path = "../table.rs"]
mod table;
#[allow(dead_code, reason = "the other benches use the rest")]
#[path = "../usage.rs"]
mod usage;
#[path = "../windows.rs"]
mod windows;

mod ffmpeg;
mod hls;
mod jpeg;
mod likeness;
mod machine;
mod meter;
mod ours;
mod pictures;
mod players;
mod report;
mod start;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde_json::json;

use report::CostReport;
use windows::Windows;

/// The measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// 20 cameras of 1080p30 to HLS, against ffmpeg with TS and with fMP4
    Hls20,
    /// One camera of 1080p30 to JPEG, against ffmpeg
    Jpeg,
    /// 0, 1, 50 and 200 small cameras to HLS, the middle two against ffmpeg
    Growth,
    /// 200 small cameras at once, then for some minutes; only when named
    Start200,
}

#[derive(Parser)]
struct Arguments {
    /// Scenarios, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Scenario::Hls20, Scenario::Jpeg, Scenario::Growth])]
    only: Vec<Scenario>,
    /// Length of a window, seconds (1 to 600)
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Windows of each side and case (1 to 50)
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=50))]
    windows: u64,
    /// Quality of our JPEG pictures at full size: as like the camera's as those of ffmpeg -q:v 5 (1 to 100)
    #[arg(long, default_value_t = 75, value_parser = clap::value_parser!(u32).range(1..=100))]
    quality: u32,
    /// Time for which the 200 cameras are watched, minutes (0 to 1440)
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=1440))]
    soak_minutes: u64,
    /// Writes the figures to this file too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::parse();
    let windows = Windows { count: arguments.windows, length: Duration::from_secs(arguments.seconds) };
    println!("{}", machine::machine());
    println!(
        "medians of {} windows of {} s; for each camera; CPU in percent of one core\n",
        windows.count, arguments.seconds
    );
    CostReport::head();
    let mut report = CostReport::default();
    for scenario in &arguments.only {
        match scenario {
            Scenario::Hls20 => hls::twenty(&mut report, windows).await,
            Scenario::Jpeg => jpeg::compare(&mut report, windows, arguments.quality).await,
            Scenario::Growth => hls::growth(&mut report, windows).await,
            Scenario::Start200 => {
                start::two_hundred(&mut report, Duration::from_secs(arguments.soak_minutes * 60)).await
            }
        }
    }
    if let Some(path) = &arguments.json {
        let scenarios: Vec<_> = arguments.only.iter().map(|scenario| format!("{scenario:?}").to_lowercase()).collect();
        let options = json!({ "only": scenarios, "seconds": arguments.seconds, "windows": arguments.windows,
            "quality": arguments.quality, "soak_minutes": arguments.soak_minutes });
        report.write(path, &options).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
