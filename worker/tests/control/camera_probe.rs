//! Probes of cameras, requested over NATS.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rsm_shared::bus::probe::ProbeAnswer;
use rsm_shared::stream::state::StreamState;
use rsm_shared::wire::messages::{Heartbeat, ProbeReport, WorkerState};

use super::api::Api;
use super::nats::Nats;
use super::stills::Stills;
use super::waiting::eventually;
use super::{Worker, others};

/// A worker that takes requests to probe, once this returns.
async fn worker(nats: &Nats, api: &Api, more: &[(&str, &str)]) -> Worker<Stills> {
    let worker = Worker::before(Arc::<Stills>::default(), nats, "w1", more);
    api.until("a heartbeat", "w1", |_| true).await;
    let listeners = || nats.listeners("rsm.v1.look.default");
    let found = eventually("a worker that listens for probes", listeners, |names| !names.is_empty()).await;
    // A picture on the connection for control would delay a heartbeat.
    assert_eq!(found, ["rsm-worker-frames"]);
    worker
}

/// The report, and whether there was a picture.
fn seen(answer: ProbeAnswer) -> (ProbeReport, bool) {
    match answer {
        ProbeAnswer::Report(report, picture) => (*report, picture.is_some_and(|jpeg| jpeg.starts_with(&[0xff, 0xd8]))),
        ProbeAnswer::NoWorker => panic!("no worker answers"),
    }
}

fn code(report: &ProbeReport) -> Option<&'static str> {
    report.reason.as_ref().map(|reason| reason.code.as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_cameras_are_probed_at_a_time_some_wait_and_one_more_is_refused() {
    let nats = Nats::start().await;
    let api = Api::start(&nats.url).await;
    let worker = worker(&nats, &api, &[]).await;
    let mut asked: FuturesUnordered<_> = (0..11).map(|_| api.probe()).collect();
    let (crowded, picture) = seen(asked.next().await.unwrap());
    assert_eq!((code(&crowded), picture), (Some("no_worker"), false));
    eventually("two cameras to be open", || worker.cameras.open_sessions(), |open| *open == 2).await;
    worker.cameras.shutter(true);
    let mut answers = 0;
    while let Some(answer) = asked.next().await {
        let (report, picture) = seen(answer);
        assert_eq!((report.worker.as_str(), report.state, code(&report)), ("w1", StreamState::Running, None));
        assert!(picture && report.video.is_some_and(|video| &*video.codec == "jpeg"));
        answers += 1;
    }
    // A camera session is closed before the answer is sent.
    assert_eq!((answers, worker.cameras.open_sessions(), worker.cameras.most_sessions()), (10, 0, 2));
    worker.stop.cancel();
    worker.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_worker_leaves_probes_to_others() {
    let nats = Nats::start().await;
    let api = Api::start(&nats.url).await;
    api.say(others(), &[]);
    let worker = worker(&nats, &api, &[("worker.drain_s", "600")]).await;
    worker.cameras.shutter(true);
    assert!(api.offer("w1", &api.place("yard", 5).await).await);
    api.until_ready("w1", "yard").await;
    worker.stop.cancel();
    let draining = |beat: &Heartbeat| beat.state == WorkerState::Draining;
    api.until("the drain", "w1", draining).await;
    // Requests that still arrive are answered.
    while let ProbeAnswer::Report(report, picture) = api.probe().await {
        assert!(picture.is_some(), "{report:?}");
    }
    assert!(!worker.task.is_finished());
    api.say(others(), &[("yard", 5)]);
    assert_eq!(worker.gone().await.open_sessions(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_ends_says_so_to_whoever_waits_and_lets_go_of_the_cameras() {
    let nats = Nats::start().await;
    let api = Api::start(&nats.url).await;
    let worker = worker(&nats, &api, &[("worker.drain_s", "0")]).await;
    let mut asked: FuturesUnordered<_> = (0..4).map(|_| api.probe()).collect();
    let stopped = async {
        eventually("two probes", || worker.cameras.open_sessions(), |open| *open == 2).await;
        worker.stop.cancel();
    };
    let answered = async {
        while let Some(answer) = asked.next().await {
            let (report, picture) = seen(answer);
            assert_eq!((code(&report), picture), (Some("no_worker"), false), "{report:?}");
            assert!(report.reason.unwrap().text.contains("is ending"));
        }
    };
    tokio::join!(stopped, answered);
    assert_eq!(worker.gone().await.open_sessions(), 0);
}
