//! The effect of a viewer that reads nothing, and of a slow one, on the others.

use serde_json::{Value, json};

use crate::figures::median;
use crate::part_process::LoadProcess;
use crate::report::{Aim, ViewersReport, number};
use crate::scene::{PictureSource, Scene};
use crate::turns::{SETTLE, Turns};
use crate::windows::Windows;

const BYTES: usize = 150_000;
const FPS: u32 = 30;
const OTHERS: usize = 20;
const SLOW_BYTES_PER_SECOND: u64 = 50_000;
/// Difference of two equal windows on a machine with other work, percent of the rate and milliseconds.
const RATE_MOVES: Aim = Aim::AtMost(1.0);
const MEDIAN_MOVES: Aim = Aim::AtMost(1.0);
const P99_MOVES: Aim = Aim::AtMost(5.0);

/// Windows with and without the two, in turns.
pub async fn beside_others(report: &mut ViewersReport, case: &str, windows: Windows) {
    report.note(
        case,
        &format!(
            "{OTHERS} viewers of {} kB at {FPS} fps; one that stops reading and one of {} kB/s",
            BYTES / 1000,
            SLOW_BYTES_PER_SECOND / 1000
        ),
    );
    let mut scene = Scene::start(PictureSource::stub(BYTES, FPS)).await;
    scene.add_stubs(1, &json!({})).await;
    let mut load = LoadProcess::start();
    let (address, paths) = (scene.relay_address, scene.sockets(""));
    let opened = load.open(address, &paths, OTHERS, &json!({})).await;
    assert_eq!(opened["open"], OTHERS, "{opened}");
    let (mut without, mut with) = (Turns::default(), Turns::default());
    for _ in 0..windows.count {
        tokio::time::sleep(SETTLE).await;
        without.take(&mut load, &scene.group(), windows.length).await;
        for more in [json!({ "pace": "stalled" }), json!({ "pace": "slow", "bytes_per_second": SLOW_BYTES_PER_SECOND })]
        {
            let opened = load.open(address, &paths, 1, &more).await;
            assert_eq!(opened["open"], 1, "{opened}");
        }
        tokio::time::sleep(SETTLE).await;
        with.take(&mut load, &scene.group(), windows.length).await;
        load.0.ask(&json!({ "do": "close", "odd_only": true })).await;
    }
    let rate = |seen: &Value| number(&seen["frames"]) / number(&seen["seconds"]) / OTHERS as f64;
    let pairs = |value: &dyn Fn(&Value) -> f64| {
        median(without.seen.iter().zip(&with.seen).map(|(without, with)| value(with) - value(without)).collect())
    };
    report.figure(case, "frames to each of the others, alone", without.median(rate), "fps", Aim::Nothing);
    report.figure(case, "frames to each of the others, beside the two", with.median(rate), "fps", Aim::Nothing);
    report.figure(case, "frames to each of the others, fewer", -pairs(&rate) / f64::from(FPS) * 100.0, "%", RATE_MOVES);
    for (key, aim) in [("p50", MEDIAN_MOVES), ("p99", P99_MOVES)] {
        let latency = |seen: &Value| number(&seen["latency_ms"][key]);
        report.figure(case, &format!("sent to received, {key}, alone"), without.median(latency), "ms", Aim::Nothing);
        report.figure(
            case,
            &format!("sent to received, {key}, beside the two"),
            with.median(latency),
            "ms",
            Aim::Nothing,
        );
        report.figure(case, &format!("sent to received, {key}, later"), pairs(&latency), "ms", aim);
    }
    report.note(case, &format!("CPU of one core alone: {}", without.shares()));
    report.note(case, &format!("CPU of one core beside the two: {}", with.shares()));
    report.detail(case, "alone", &without.json());
    report.detail(case, "beside the two", &with.json());
}
