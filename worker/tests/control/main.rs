//! A whole worker without cameras, against a real nats-server and the API's side of the protocol.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails by a panic, and shows what it saw"
)]

mod api;
mod camera_probe;
mod nats;
mod no_camera;
mod stills;
mod waiting;

use std::sync::Arc;

use rsm_shared::config::Config;
use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::spec::JpegParams;
use rsm_shared::stream::state::StreamState;
use rsm_shared::wire::messages::{Fleet, Heartbeat, Ticket, WorkerState};
use rsm_worker::app::{WorkerError, run_with};
use rsm_worker::source::opener::Opener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use api::{Api, owned};
use nats::Nats;
use no_camera::NoCamera;
use waiting::DEADLINE;

struct Worker<C = NoCamera> {
    stop: CancellationToken,
    cameras: Arc<C>,
    task: JoinHandle<Result<(), WorkerError>>,
    _dir: tempfile::TempDir,
}

impl Worker {
    fn start(nats: &Nats, name: &str, more: &[(&str, &str)]) -> Self {
        Self::before(Arc::default(), nats, name, more)
    }

    /// Waits until it has ended, by itself or because of a stop.
    async fn ended(self) {
        assert_eq!(self.gone().await.open_sessions(), 0);
    }
}

impl<C: Opener> Worker<C> {
    fn before(cameras: Arc<C>, nats: &Nats, name: &str, more: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().display().to_string();
        let own =
            [("nats.urls", &*nats.url), ("data_dir", &*data_dir), ("worker.name", name), ("worker.capacity", "4")];
        let flags: Vec<_> = own.iter().chain(more).map(|(key, value)| (*key, (*value).to_owned())).collect();
        let config = Config::load(None, &flags).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(run_with(config, "test", stop.clone(), cameras.clone()));
        Self { stop, cameras, task, _dir: dir }
    }

    /// The cameras, once it has ended.
    async fn gone(self) -> Arc<C> {
        tokio::time::timeout(DEADLINE, self.task).await.expect("it ends").unwrap().unwrap();
        self.cameras
    }
}

fn alone() -> Fleet {
    Fleet::default()
}

fn others() -> Fleet {
    Fleet { others: 1, room: 4, least_used: 1.0, least_cpu: 1.0, queued: 0 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pulled_ticket_and_an_offer_lead_to_the_same() {
    let nats = Nats::start().await;
    let (api, worker) = (Api::start(&nats.url).await, Worker::start(&nats, "w1", &[]));
    api.queue(&api.place("yard", 5).await).await;
    let pulled = api.until_ready("w1", "yard").await;
    let offer = api.place("door", 7).await;
    assert!(api.offer("w1", &offer).await);
    let offered = api.until_ready("w1", "door").await;
    assert_eq!((pulled.epoch.0, offered.epoch.0), (5, 7));
    assert_eq!((pulled.state, offered.state), (StreamState::Running, StreamState::Running));
    let beat = api.until("its room", "w1", |beat| beat.inv.len() == 2).await;
    assert_eq!((beat.cap, beat.room), (4, 2));
    assert!(beat.load.memory > 0.0, "{:?}", beat.load);

    // The same again changes nothing, and takes no slot for long.
    api.offer("w1", &offer).await;
    worker.cameras.end_sessions();
    api.until("both to run again", "w1", |beat| {
        beat.room == 2
            && beat.inv.len() == 2
            && beat.inv.iter().all(|owned| owned.ready)
            && worker.cameras.opened() == 4
    })
    .await;
    api.say(alone(), &[("yard", 5), ("door", 7)]);
    api.until("both to be let go", "w1", |beat| beat.inv.is_empty() && beat.room == 4).await;
    worker.stop.cancel();
    worker.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demand_from_before_the_claim_counts_and_an_owner_is_ready_only_when_it_can_be_met() {
    let nats = Nats::start().await;
    let (api, worker) = (Api::start(&nats.url).await, Worker::start(&nats, "w1", &[]));
    api.until("a heartbeat", "w1", |_| true).await;
    // No decoder makes a frame of these pictures.
    let jpeg = Some(JpegParams { max_fps: 5, max_width: 640, quality: 80 });
    api.want("yard", Demand { jpeg, ..Demand::default() }).await;
    api.queue(&api.place("yard", 5).await).await;
    let running = |beat: &Heartbeat| owned(beat, "yard").is_some_and(|owned| owned.state == StreamState::Running);
    let beat = api.until("the stream to run", "w1", running).await;
    assert!(!owned(&beat, "yard").unwrap().ready, "{beat:?}");
    api.want("yard", Demand::default()).await;
    api.until_ready("w1", "yard").await;
    worker.stop.cancel();
    worker.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_are_refused_without_a_slot_from_elsewhere_and_when_they_avoid_this_process() {
    let nats = Nats::start().await;
    let (api, worker) = (Api::start(&nats.url).await, Worker::start(&nats, "w1", &[("worker.capacity", "1")]));
    api.until("room", "w1", |beat| beat.room == 1).await;
    let offer = api.place("yard", 5).await;
    let elsewhere = Ticket { zone: Zone::parse("elsewhere").unwrap(), ..offer.clone() };
    let avoids = Ticket { avoid: Some(api.session("w1")), ..offer.clone() };
    assert!(!api.offer("w1", &elsewhere).await);
    assert!(!api.offer("w1", &avoids).await);
    assert!(api.offer("w1", &offer).await);
    api.until_ready("w1", "yard").await;
    assert!(!api.offer("w1", &api.place("door", 6).await).await, "it is full");
    worker.stop.cancel();
    worker.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_left_to_others_by_the_process_that_it_avoids() {
    let nats = Nats::start().await;
    let (api, first) = (Api::start(&nats.url).await, Worker::start(&nats, "w1", &[]));
    api.queue(&api.place("yard", 5).await).await;
    api.until_ready("w1", "yard").await;
    let moves = Ticket { avoid: Some(api.session("w1")), ..api.place("yard", 6).await };
    api.queue(&moves).await;
    let second = Worker::start(&nats, "w2", &[]);
    assert_eq!(api.until_ready("w2", "yard").await.epoch.0, 6);
    let beat = api.heard("w1").unwrap();
    assert_eq!(owned(&beat, "yard").unwrap().epoch.0, 5, "it goes on until it is told");
    api.say(alone(), &[("yard", 5)]);
    api.until("w1 to let it go", "w1", |beat| beat.inv.is_empty()).await;
    assert_eq!(api.until_ready("w2", "yard").await.epoch.0, 6);
    for worker in [first, second] {
        worker.stop.cancel();
        worker.ended().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_worker_goes_on_until_others_have_its_streams() {
    let nats = Nats::start().await;
    let (api, worker) = (Api::start(&nats.url).await, Worker::start(&nats, "w1", &[]));
    api.say(others(), &[]);
    api.queue(&api.place("yard", 5).await).await;
    api.until_ready("w1", "yard").await;
    worker.stop.cancel();
    let draining = api.until("the drain", "w1", |beat| beat.state == WorkerState::Draining).await;
    assert!(owned(&draining, "yard").is_some() && draining.room == 0, "{draining:?}");
    assert!(!api.offer("w1", &api.place("door", 6).await).await);
    let later = api.until("another heartbeat", "w1", |beat| beat.seq > draining.seq + 1).await;
    assert!(owned(&later, "yard").is_some_and(|owned| owned.ready), "{later:?}");
    assert!(!worker.task.is_finished());
    api.say(others(), &[("yard", 5)]);
    worker.ended().await;
    let last = api.heard("w1").unwrap();
    assert!(last.inv.is_empty() && last.state == WorkerState::Draining, "{last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_waited_for_who_could_not_take_over() {
    let nats = Nats::start().await;
    let api = Api::start(&nats.url).await;
    let long = ("worker.drain_s", "600");
    for (worker, fleet, drain) in [("alone", alone(), long), ("hasty", others(), ("worker.drain_s", "0"))] {
        api.say(fleet, &[]);
        let running = Worker::start(&nats, worker, &[drain]);
        api.until("room", worker, |beat| beat.room == 4).await;
        assert!(api.offer(worker, &api.place(worker, 5).await).await);
        api.until_ready(worker, worker).await;
        running.stop.cancel();
        running.ended().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_worker_leaves_tickets_in_the_queue() {
    let nats = Nats::start().await;
    let (api, worker) = (Api::start(&nats.url).await, Worker::start(&nats, "w1", &[("worker.capacity", "1")]));
    api.queue(&api.place("yard", 5).await).await;
    api.until_ready("w1", "yard").await;
    api.queue(&api.place("door", 6).await).await;
    // A pull that was parked before it was full is returned; after that no pull is open.
    let beat = api.heard("w1").unwrap();
    api.until("some heartbeats", "w1", |later| later.seq > beat.seq + 2).await;
    assert!(api.heard("w1").unwrap().inv.len() == 1);
    api.say(alone(), &[("yard", 5)]);
    api.until_ready("w1", "door").await;
    assert_eq!(api.queued().await, 0);
    worker.stop.cancel();
    worker.ended().await;
}
