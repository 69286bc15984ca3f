//! `make bench-faults`: takes parts of a farm away, one after the other, and prints the interruption that viewers saw
//! beside its aim. 12 real cameras of 25 fps on 3 workers, every setting as a user has it, a new farm for each fault.
//! It judges nothing: the tests assert that nothing breaks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot go on ends, and its result is what it prints"
)]

#[path = "../tests/harness/mod.rs"]
mod harness;
mod looks;
mod returning;
mod table;

use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::FutureExt as _;
use serde_json::json;

use harness::chaos::Mode;
use harness::farm::Plan;
use harness::wall_clock::WallClock;
use looks::Field;
use returning::{camera_returns, camera_thaws, dead_cameras};
use table::{line, seconds};

const WORKERS: usize = 3;
const STREAMS: usize = 12;
/// Frame rate of the default configuration.
const JPEG_FPS: u32 = 10;
const MALFORMED: usize = 100;
/// Five frames: a viewer does not call that an outage.
const NO_GAP: &str = "0.5 s";

#[derive(Parser)]
struct Arguments {
    /// Only faults whose name contains this
    #[arg(default_value = "")]
    only: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let only = Arguments::parse().only;
    println!(
        "{STREAMS} cameras of 25 fps on {WORKERS} workers, JPEG at {JPEG_FPS} fps, one viewer each; one run each\n"
    );
    line("fault", "longest gap", "bound");
    /// Runs one of them; one that fails does not take the others with it.
    macro_rules! fault {
        ($name:ident) => {
            if stringify!($name).contains(&only) && std::panic::AssertUnwindSafe($name()).catch_unwind().await.is_err()
            {
                line(stringify!($name), "failed, see above", "");
            }
        };
    }
    fault!(worker_killed);
    fault!(worker_asleep);
    fault!(nats_killed);
    fault!(nats_wiped);
    fault!(cut_off_briefly);
    fault!(cut_off_for_long);
    fault!(api_killed);
    fault!(api_and_worker_killed);
    fault!(worker_told_to_end);
    fault!(worker_joins);
    fault!(clocks_wrong);
    fault!(nonsense_queued);
    fault!(camera_returns);
    fault!(camera_thaws);
    fault!(dead_cameras);
}

fn plan() -> Plan {
    Plan { default_waits: true, max_fps: JPEG_FPS, ..Plan::of(WORKERS, STREAMS) }
}

async fn pause(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

async fn worker_killed() {
    let mut field = Field::of(plan()).await;
    let victim = field.busiest();
    field.begin().await;
    field.farm.worker(&victim).kill().await;
    field.until_moved_from(&victim).await;
    field.report("worker killed (SIGKILL)", "6 s", "one for each stream moved").await;
}

async fn worker_asleep() {
    let mut field = Field::of(plan()).await;
    let sleeper = field.busiest();
    field.begin().await;
    let begun = Instant::now();
    field.farm.worker(&sleeper).pause();
    field.until_moved_from(&sleeper).await;
    tokio::time::sleep_until((begun + Duration::from_secs(12)).into()).await;
    let woken = Instant::now();
    field.farm.worker(&sleeper).go_on();
    field.farm.until_one_session_each().await;
    let let_go = woken.elapsed();
    field.report("worker asleep for 12 s (SIGSTOP, SIGCONT)", "7 s", "one for each stream moved").await;
    line("  awake until it has let all go", &seconds(let_go), "2 s");
}

async fn nats_gone(wiped: bool) {
    let mut field = Field::of(plan()).await;
    field.begin().await;
    field.farm.nats.kill().await;
    pause(2).await;
    if wiped {
        field.farm.nats.wipe();
    }
    field.farm.nats.start_again().await;
    // Longer than it takes to judge a worker dead.
    pause(12).await;
    let what = if wiped { "nats-server killed, wiped, back after 2 s" } else { "nats-server killed, back after 2 s" };
    field.report(what, "4 s", "0").await;
}

async fn nats_killed() {
    nats_gone(false).await;
}

async fn nats_wiped() {
    nats_gone(true).await;
}

async fn cut_off(for_s: u64, what: &str) {
    let plan = plan().proxied("w1").proxied("w2").proxied("w3");
    let mut field = Field::of(plan).await;
    let lost = field.busiest();
    field.begin().await;
    let begun = Instant::now();
    field.farm.chaos[&lost].set(Mode::BlackHole);
    field.until_moved_from(&lost).await;
    if for_s > 20 {
        field.farm.until_one_session_each().await;
        line("cut off until it has stopped its own", &seconds(begun.elapsed()), "about 20 s");
    }
    tokio::time::sleep_until((begun + Duration::from_secs(for_s)).into()).await;
    field.farm.chaos[&lost].heal();
    pause(8).await;
    field.farm.until_one_session_each().await;
    field.report(what, "7 s", "one for each stream moved").await;
}

async fn cut_off_briefly() {
    cut_off(10, "worker cut off from NATS for 10 s (black hole)").await;
}

async fn cut_off_for_long() {
    cut_off(60, "worker cut off from NATS for 60 s (black hole)").await;
}

async fn api_killed() {
    let mut field = Field::on_nats(plan()).await;
    field.begin().await;
    field.farm.api.kill().await;
    pause(10).await;
    field.farm.api.start_again();
    field.farm.until_ready().await;
    pause(8).await;
    field.report("API killed, back after 10 s (frames on NATS)", NO_GAP, "0").await;
}

async fn api_and_worker_killed() {
    let mut field = Field::on_nats(plan()).await;
    let victim = field.busiest();
    field.begin().await;
    field.farm.api.kill().await;
    field.farm.worker(&victim).kill().await;
    pause(10).await;
    let back = Instant::now();
    field.farm.api.start_again();
    field.until_moved_from(&victim).await;
    line("API and a worker killed: all again, from the API's return", &seconds(back.elapsed()), "7 s");
    let own = "one for each stream moved";
    field.report("  the same (frames on NATS; the others: no gap)", "outage + 7 s", own).await;
}

async fn worker_told_to_end() {
    let mut field = Field::of(plan()).await;
    let leaver = field.busiest();
    field.begin().await;
    let begun = Instant::now();
    let status = field.farm.worker(&leaver).end().await;
    let took = begun.elapsed();
    field.until_moved_from(&leaver).await;
    field.report("worker told to end (SIGTERM)", NO_GAP, "one for each stream moved").await;
    line("  until it ended", &format!("{}, {status}", seconds(took)), "15 s, exit 0");
}

async fn worker_joins() {
    // Room enough for all on two, so that the third gets its share by moves alone.
    let plan = plan().env("RSM__CONTROL__REBALANCE", "true").env("RSM__WORKER__CAPACITY", "12");
    let mut field = Field::of(plan).await;
    field.begin().await;
    field.farm.add_worker("w4").await;
    pause(30).await;
    field.report("a fourth worker joins; 30 s later", NO_GAP, "one for each stream moved").await;
    let owners = field.farm.owners().await;
    let moved = owners.values().filter(|owner| owner.worker == "w4").count();
    line("  streams that it has then", &moved.to_string(), "3");
}

async fn clocks_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    let (worker, api) = (WallClock::new(&dir.path().join("w1")), WallClock::new(&dir.path().join("api")));
    let mut plan = plan();
    for (process, clock) in [("w1", &worker), ("api", &api)] {
        for (key, value) in clock.environment() {
            plan = plan.own_env(process, key, &value);
        }
    }
    let mut field = Field::of(plan).await;
    field.begin().await;
    for (of_worker, of_api) in [(3600, 0), (-3600, 0), (0, 3600), (0, -3600), (3600, 3600), (-3600, -3600), (0, 0)] {
        worker.set(of_worker);
        api.set(of_api);
        pause(5).await;
    }
    field.report("clocks of a worker and the API an hour off, both ways", NO_GAP, "0").await;
}

async fn nonsense_queued() {
    let mut field = Field::of(plan()).await;
    field.begin().await;
    let client = field.farm.nats.client().await;
    for (slug, owner) in field.before() {
        for epoch in [owner.epoch, owner.epoch - 1, owner.epoch + 1] {
            let ticket = json!({ "v": 1, "cam": slug, "zone": "default", "epoch": epoch, "reason": "start" });
            let subject = format!("rsm.v1.cmd.start.default.hi.{slug}");
            client.publish(subject, ticket.to_string().into()).await.expect("published");
        }
    }
    for n in 0..MALFORMED {
        let subject = format!("rsm.v1.cmd.start.default.lo.nonsense{n}");
        client.publish(subject, "{".into()).await.expect("published");
    }
    let left = async || field.farm.nats.count("RSM_CMD", "rsm.v1.cmd.start.*.*.*").await;
    let begun = Instant::now();
    harness::eventually("nonsense to go away", left, |left| *left <= STREAMS).await;
    let took = begun.elapsed();
    pause(8).await;
    field.report("duplicate, old and future tickets, 100 malformed", NO_GAP, "0").await;
    line("  until the malformed are gone", &seconds(took), "");
}
