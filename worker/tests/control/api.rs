//! The API's side of the control plane, as far as a worker sees it: answers heartbeats as the test says.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rsm_shared::bus::connect::{Bus, Purpose};
use rsm_shared::bus::heartbeat::{WorkerListener, WorkerMessage};
use rsm_shared::bus::probe::{self, ProbeAnswer};
use rsm_shared::bus::{control, demand, registers, tickets, topology};
use rsm_shared::config::Config;
use rsm_shared::stream::camera_link::CameraUrl;
use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::names::{SessionId, Zone};
use rsm_shared::stream::rendition::RenditionSet;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::spec::{HlsParams, JpegParams, StreamSpec, Transport};
use rsm_shared::wire::messages::{
    DemandMessage, Desired, Fleet, Heartbeat, HeartbeatReply, Owned, Priority, ProbeRequest, Ticket, TicketReason,
    VERSION, Want,
};

use super::waiting::eventually;

pub struct Api {
    bus: Bus,
    said: Arc<Mutex<Said>>,
}

#[derive(Default)]
struct Said {
    /// The last heartbeat of each worker.
    heard: HashMap<String, Heartbeat>,
    fleet: Fleet,
    drop: Vec<(Slug, Epoch)>,
}

impl Api {
    pub async fn start(url: &str) -> Self {
        let config = Config::load(None, &[("nats.urls", url.to_owned())]).unwrap();
        let bus = Bus::connect(&config.nats, Purpose::Control, "api").await.unwrap();
        eventually("a connection", || bus.connected(), |connected| *connected).await;
        let zones = [Zone::default_zone(), Zone::parse("elsewhere").unwrap()];
        topology::ensure(&bus, &zones, 1, &mut false).await.unwrap();
        let said = Arc::<Mutex<Said>>::default();
        let mut ear = WorkerListener::open(&bus).await.unwrap();
        let saying = said.clone();
        tokio::spawn(async move {
            while let Some(heard) = ear.next().await {
                let Ok(WorkerMessage::Beat(beat, answer)) = heard else { continue };
                let reply = {
                    let mut said = saying.lock();
                    let (drop, fleet) = (said.drop.clone(), said.fleet);
                    said.heard.insert(beat.worker.to_string(), *beat);
                    HeartbeatReply { v: VERSION, api_session: "api-1".into(), conflict: false, drop, fleet }
                };
                // A worker that has just said goodbye is not there any more.
                let _ = answer.send(&reply).await;
            }
        });
        Self { bus, said }
    }

    /// Sets the answer to every heartbeat from now on.
    pub fn say(&self, fleet: Fleet, drop: &[(&str, u64)]) {
        let mut said = self.said.lock();
        said.fleet = fleet;
        said.drop = drop.iter().map(|(cam, epoch)| (slug(cam), Epoch(*epoch))).collect();
    }

    pub fn heard(&self, worker: &str) -> Option<Heartbeat> {
        self.said.lock().heard.get(worker).cloned()
    }

    /// Waits for a heartbeat.
    pub async fn until(&self, what: &str, worker: &str, seen: impl Fn(&Heartbeat) -> bool) -> Heartbeat {
        eventually(what, || self.heard(worker), |heard| heard.as_ref().is_some_and(&seen)).await.unwrap()
    }

    /// Waits until a worker owns the stream, with something to show.
    pub async fn until_ready(&self, worker: &str, cam: &str) -> Owned {
        let beat =
            self.until(&format!("{cam} on {worker}"), worker, |beat| owned(beat, cam).is_some_and(|o| o.ready)).await;
        owned(&beat, cam).cloned().unwrap()
    }

    /// Writes the record of a placement.
    pub async fn place(&self, cam: &str, epoch: u64) -> Ticket {
        let spec = Some(spec());
        let (zone, cam, epoch) = (Zone::default_zone(), slug(cam), Epoch(epoch));
        let record = Desired { v: VERSION, cam: cam.clone(), epoch, state: Want::Run, spec };
        registers::put(&self.bus, &zone, &record).await.unwrap();
        let reason = TicketReason::Start;
        let (media_sequence, discontinuity_sequence, avoid, traceparent) = Default::default();
        Ticket { v: VERSION, cam, zone, epoch, reason, media_sequence, discontinuity_sequence, avoid, traceparent }
    }

    /// One relay's demand for a stream.
    pub async fn want(&self, cam: &str, demand: Demand) {
        let message = DemandMessage { v: VERSION, from: "relay".into(), ttl_ms: 60_000, demand, traceparent: None };
        demand::publish(&self.bus, &Zone::default_zone(), &slug(cam), &message).await.unwrap();
    }

    /// Asks a worker to probe a camera.
    pub async fn probe(&self) -> ProbeAnswer {
        let jpeg = JpegParams { max_fps: 1, max_width: 160, quality: 80 };
        probe::ask(&self.bus, &Zone::default_zone(), &ProbeRequest { v: VERSION, spec: spec(), jpeg }).await.unwrap()
    }

    pub async fn queue(&self, ticket: &Ticket) {
        tickets::publish(&self.bus, ticket, Priority::Hi).await.unwrap();
    }

    /// Tickets that no worker has taken or is looking at.
    pub async fn queued(&self) -> u64 {
        tickets::queue(&self.bus, &Zone::default_zone(), Priority::Hi).await.unwrap().waiting
    }

    pub async fn offer(&self, worker: &str, ticket: &Ticket) -> bool {
        let beat = self.heard(worker).unwrap();
        control::take(&self.bus, &beat.worker, &beat.session, ticket).await.unwrap()
    }

    pub fn session(&self, worker: &str) -> SessionId {
        self.heard(worker).unwrap().session
    }
}

pub fn owned<'a>(beat: &'a Heartbeat, cam: &str) -> Option<&'a Owned> {
    beat.inv.iter().find(|owned| owned.cam.as_str() == cam)
}

fn spec() -> StreamSpec {
    let url = CameraUrl::parse("rtsp://camera.invalid/x").unwrap().url;
    let hls = HlsParams {
        segment_seconds: 1,
        window_segments: 6,
        part_ms: 0,
        always_on: false,
        renditions: RenditionSet::NONE,
    };
    StreamSpec { url, credentials: None, transport: Transport::Auto, tls_insecure: false, exclusive: false, hls }
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}
