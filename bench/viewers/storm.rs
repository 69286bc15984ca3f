//! Viewers that come all at once, and viewers that come and go: whether all get in, and whether anything stays behind.

use std::time::Duration;

use serde_json::json;

use crate::harness::eventually_in;
use crate::part_process::LoadProcess;
use crate::report::{Aim, ViewersReport, number};
use crate::scene::{PictureSource, Scene};
use crate::usage::Process;

const VIEWERS: usize = 2000;
const WITHIN_MS: u64 = 5000;
const FRESH_PER_SECOND: u64 = 200;
const STREAMS: usize = 10;
/// Time until viewers that left are forgotten; the relay keeps a subscription for 5 s after its last viewer.
const FORGET: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_secs(8);
/// Memory that an allocator keeps after use, MB.
const MEMORY_STAYS: Aim = Aim::AtMost(5.0);
/// Descriptors and threads: a connection of HTTP clients may come or go.
const FEW: Aim = Aim::AtMost(5.0);

pub async fn measure(report: &mut ViewersReport, case: &str, churn_seconds: u64) {
    let mut scene = Scene::start(PictureSource::stub(20_000, 10)).await;
    scene.add_stubs(STREAMS, &json!({})).await;
    let mut load = LoadProcess::start();
    let (address, paths) = (scene.relay_address, scene.sockets(""));
    let fresh = scene.relay_process();

    let opened = load.open(address, &paths, VIEWERS, &json!({ "over_ms": WITHIN_MS })).await;
    report.figure(
        case,
        &format!("of {VIEWERS} within 5 s: with frames"),
        number(&opened["open"]),
        "viewers",
        Aim::AtLeast(VIEWERS as f64),
    );
    report.figure(case, "until the last has a frame", number(&opened["seconds"]), "s", Aim::Nothing);
    report.spread(case, "from connecting to upgraded", &opened["upgrade_ms"], "", Aim::Nothing);
    report.spread(case, "from connecting to the first frame", &opened["first_frame_ms"], "", Aim::Nothing);
    report.detail(case, "all at once", &opened);
    load.close_all().await;

    // Memory that so many viewers cost once is no leak of the churn.
    let before = settled(report, case, &scene, "after all at once").await;
    report.figure(case, "relay's memory (RSS) when it was new", fresh.rss_mb, "MB", Aim::Nothing);
    let order = json!({ "do": "churn", "address": address.to_string(), "paths": paths,
        "per_second": FRESH_PER_SECOND, "seconds": churn_seconds });
    let churned = load.0.ask(&order).await;
    let (opened, dropped) = (number(&churned["opened"]), number(&churned["dropped"]));
    report.figure(
        case,
        &format!("opened and dropped, {FRESH_PER_SECOND}/s, {churn_seconds} s"),
        dropped,
        "viewers",
        Aim::AtLeast(opened),
    );
    report.detail(case, "coming and going", &churned);
    if churned["ends"] != json!({}) {
        report.note(case, &format!("viewers that ended otherwise: {}", churned["ends"]));
    }
    let after = settled(report, case, &scene, "after coming and going").await;
    let more = |before: usize, after: usize| (after as f64) - (before as f64);
    report.figure(case, "relay's descriptors, more than before", more(before.descriptors, after.descriptors), "", FEW);
    report.figure(case, "relay's threads, more than before", more(before.threads, after.threads), "", FEW);
    report.figure(case, "relay's memory (RSS) before", before.rss_mb, "MB", Aim::Nothing);
    report.figure(case, "relay's memory (RSS), more than before", after.rss_mb - before.rss_mb, "MB", MEMORY_STAYS);
}

/// The relay, once no seat is taken.
async fn settled(report: &mut ViewersReport, case: &str, scene: &Scene, when: &str) -> Process {
    let seats = async || scene.metric("rsm_viewers{kind=\"mjpeg\"}").await;
    let left = eventually_in(FORGET, "every seat to be free", seats, |taken| *taken == 0.0).await;
    report.figure(case, &format!("seats taken {when}"), left, "", Aim::AtMost(0.0));
    tokio::time::sleep(SETTLE).await;
    scene.relay_process()
}
