//! The events of one history: operators, viewers and faults, chosen by the seed.

use std::time::Duration;

use rand::RngExt as _;
use rsm_model::stream::slug::Slug;

use crate::world::{Ms, Node, Registered, Weather, World};

/// All faults are over by then.
const HEALED: Ms = 40_000;
/// The world must settle within this time after the last fault: a mass silence is waited out for 20 s, an offer or a ticket
/// may be lost, and a suspect is quarantined for a minute.
const SETTLE: Ms = 150_000;
/// It must stay settled for this long.
const STEADY: Ms = 3_000;

/// The kind of history that a seed makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any faults, over a network that loses and delays messages.
    Storm,
    /// Faults that must not restart a single pipeline.
    Harmless,
    /// Workers that come and go in order, and an API that restarts: no viewer sees a gap.
    Moves,
    /// Most workers are cut off at once, for less time than the arbiter waits: nothing moves.
    MassSilence,
}

impl Kind {
    pub fn of(seed: u64) -> Self {
        match seed % 10 {
            0 | 1 => Self::Harmless,
            2 | 3 => Self::Moves,
            4 => Self::MassSilence,
            _ => Self::Storm,
        }
    }

    fn weather(self) -> Weather {
        match self {
            Self::Storm => Weather { lost: 10, slow: 20 },
            Self::Harmless | Self::Moves | Self::MassSilence => Weather { lost: 0, slow: 0 },
        }
    }
}

/// Lives through the history of a seed. Returns the world at its end.
///
/// # Errors
/// The invariant that was broken.
pub fn live(seed: u64, trace: bool) -> Result<World, String> {
    let kind = Kind::of(seed);
    let mut world = World::new(seed, kind.weather(), trace);
    world.say(|| format!("seed {seed}, {kind:?}"));
    if matches!(kind, Kind::Harmless | Kind::MassSilence) {
        // Longer than all faults in a row.
        world.hold = Duration::from_secs(60);
        world.balance = None;
    }
    let workers = world.rng.random_range(match kind {
        Kind::Moves => 2..4,
        Kind::MassSilence => 3..7,
        Kind::Storm | Kind::Harmless => 1..5,
    });
    let streams: usize = world.rng.random_range(1..6);
    for n in 0..streams {
        let exclusive = world.rng.random_range(0..5) == 0;
        // Some run without viewers.
        let demanded = world.rng.random_range(0..4) != 0;
        world.registered.insert(slug(n), Registered { enabled: true, exclusive, spec_rev: 1, demanded });
    }
    world.start_api();
    for _ in 0..workers {
        world.start_worker(None);
    }
    for _ in 0..world.rng.random_range(1..7) {
        // In orderly kinds after the first starts, else at any time.
        let at = world.rng.random_range(if kind == Kind::Storm { 0..25_000 } else { 8_000..20_000 });
        world.after(at, move |w| match kind {
            Kind::Storm => storm(w, streams),
            Kind::Harmless => harmless(w),
            Kind::Moves => moves(w),
            Kind::MassSilence => {}
        });
    }
    if kind == Kind::MassSilence {
        let at = world.rng.random_range(9_000..20_000);
        world.after(at, mass_silence);
    }
    world.run_until(HEALED);
    world.say(|| "healed".into());
    let mut steady = 0;
    while steady < STEADY {
        world.run_until(world.now + 500);
        steady = if world.unsettled().is_none() { steady + 500 } else { 0 };
        if world.now > HEALED + SETTLE {
            let why = world.unsettled().unwrap_or_default();
            return Err(format!("not as it should be {} s after the last fault: {why}", SETTLE / 1000));
        }
        if let Some(failure) = &world.checks.failure {
            return Err(failure.clone());
        }
    }
    judge(kind, streams, &world).map(|()| world)
}

fn judge(kind: Kind, streams: usize, world: &World) -> Result<(), String> {
    let streams_u32 = u32::try_from(streams).unwrap();
    if matches!(kind, Kind::Harmless | Kind::MassSilence) && world.checks.starts != streams_u32 {
        return Err(format!("{} pipelines were started for {streams} streams", world.checks.starts));
    }
    if kind == Kind::Moves {
        for n in (0..streams).filter(|n| !world.registered[&slug(*n)].exclusive) {
            let gap = world.checks.longest_gap(&slug(n));
            // A frame each 400 ms; viewers may miss 500 ms.
            if gap > 900 {
                return Err(format!("{} had a gap of {gap} ms", slug(n)));
            }
        }
    }
    if kind != Kind::Storm && world.checks.exclusive_most > 1 {
        return Err("an exclusive camera had two sessions".into());
    }
    // A stream that is about to kill its next owner is still open at its earlier one.
    let settled = |slug| !world.poison.contains(slug);
    let open: Vec<_> = world.checks.sessions.iter().filter(|(slug, open)| **open > 1 && settled(slug)).collect();
    if open.is_empty() { Ok(()) } else { Err(format!("cameras are opened more than once: {open:?}")) }
}

pub fn slug(n: usize) -> Slug {
    Slug::parse(&format!("cam{n}")).unwrap()
}

fn any_worker(w: &mut World) -> Option<usize> {
    let live: Vec<usize> = (0..w.workers.len()).filter(|n| w.workers[*n].alive).collect();
    (!live.is_empty()).then(|| live[w.rng.random_range(0..live.len())])
}

/// The duration of a fault, which ends before [`HEALED`].
fn lasting(w: &mut World, most: Ms) -> Ms {
    w.rng.random_range(100..most).min(HEALED.saturating_sub(w.now + 1000)).max(100)
}

fn storm(w: &mut World, streams: usize) {
    let stream = slug(w.rng.random_range(0..streams));
    match w.rng.random_range(0..20) {
        dice @ 0..=5 => worker_fault(w, dice),
        6 => kill_api(w),
        7 => {
            let pause = lasting(w, 20_000);
            w.say(|| format!("API is cut off for {pause} ms"));
            w.cut(Node::Api, pause);
        }
        8 => kill_nats(w, 15_000),
        9 => wipe(w),
        10 => lose_leader(w, 12_000),
        11 => {
            w.clock_off = w.rng.random_range(-3_600_000..3_600_000);
            w.say(|| format!("the API's clock is {} ms off", w.clock_off));
        }
        12 => change(w, stream),
        13 => flip(w, stream),
        14 => {
            if let Some(n) = any_worker(w) {
                w.say(|| format!("w{n} is told to end"));
                w.workers[n].draining_since.get_or_insert(w.now);
            }
            w.start_worker(None);
        }
        15 => _ = w.start_worker(None),
        16 => {
            w.say(|| format!("{stream} is removed"));
            w.registered.remove(&stream);
        }
        17 => {
            // An acknowledged ticket comes again.
            if let Some(link) = w.registered.get(&stream)
                && let Some(epoch) = w.newest(&stream)
            {
                let older = w.rng.random_range(0..3);
                let ticket = stale_ticket(&stream, epoch.0 - older, link.spec_rev);
                w.say(|| format!("an old ticket of {stream} comes again"));
                w.server.resurrect(ticket);
                w.hand_out();
            }
        }
        18 => {
            if let Some(link) = w.registered.get_mut(&stream) {
                link.demanded = !link.demanded;
                w.say(|| format!("the viewers of {stream} come or go"));
            }
        }
        _ => {
            w.say(|| format!("{stream} is poison"));
            w.poison.insert(stream);
        }
    }
}

/// Kills, pauses or cuts off a worker.
fn worker_fault(w: &mut World, dice: u32) {
    let Some(n) = any_worker(w) else { return };
    match dice {
        0 | 1 => {
            w.kill_worker(n);
            let pause = lasting(w, 15_000);
            w.after(pause, move |w| _ = w.start_worker(Some(n)));
        }
        2 | 3 => {
            let pause = lasting(w, 15_000);
            w.say(|| format!("w{n} is stopped for {pause} ms"));
            w.workers[n].paused_until = w.now + pause;
        }
        _ => {
            let pause = lasting(w, 25_000);
            w.say(|| format!("w{n} is cut off for {pause} ms"));
            w.cut(Node::Worker(n), pause);
        }
    }
}

fn harmless(w: &mut World) {
    match w.rng.random_range(0..5) {
        0 => kill_api(w),
        // Shorter than the time for which a cut-off worker goes on.
        1 => kill_nats(w, 6_000),
        2 => wipe(w),
        3 => lose_leader(w, 6_000),
        _ => w.clock_off = w.rng.random_range(-3_600_000..3_600_000),
    }
}

fn mass_silence(w: &mut World) {
    let all = w.workers.len();
    let most = all * 56 / 100 + 1;
    let pause = w.rng.random_range(5_000..15_000);
    w.say(|| format!("{most} of {all} workers are cut off for {pause} ms"));
    for n in 0..most {
        w.cut(Node::Worker(n), pause);
    }
}

fn moves(w: &mut World) {
    if w.rng.random_range(0..4) == 0 {
        return kill_api(w);
    }
    let leaving = w.workers.iter().filter(|worker| worker.alive && worker.draining_since.is_none()).count();
    if leaving > 1 && w.rng.random_bool(0.5) {
        if let Some(n) = any_worker(w) {
            w.say(|| format!("w{n} is told to end"));
            w.workers[n].draining_since.get_or_insert(w.now);
        }
    } else {
        w.start_worker(None);
    }
}

fn stale_ticket(slug: &Slug, epoch: u64, _rev: i64) -> rsm_model::wire::messages::Ticket {
    rsm_model::wire::messages::Ticket {
        v: 1,
        cam: slug.clone(),
        zone: rsm_model::stream::names::Zone::default_zone(),
        epoch: rsm_model::stream::fence::Epoch(epoch),
        reason: rsm_model::wire::messages::TicketReason::Start,
        media_sequence: 0,
        discontinuity_sequence: 0,
        avoid: None,
        traceparent: None,
    }
}

fn kill_api(w: &mut World) {
    if w.alive(Node::Api) {
        w.kill_api();
        let pause = lasting(w, 12_000);
        w.after(pause, World::start_api);
    }
}

fn kill_nats(w: &mut World, most: Ms) {
    if w.server.up {
        w.server.up = false;
        let pause = lasting(w, most);
        w.say(|| format!("nats-server is away for {pause} ms"));
        w.after(pause, |w| w.server.up = true);
    }
}

fn wipe(w: &mut World) {
    if w.server.up {
        w.say(|| "nats-server is wiped".into());
        w.server.up = false;
        w.server.wipe();
        let pause = lasting(w, 3_000);
        w.after(pause, |w| w.server.up = true);
    }
}

fn lose_leader(w: &mut World, most: Ms) {
    if w.server.leader {
        w.server.leader = false;
        let pause = lasting(w, most);
        w.say(|| format!("JetStream has no leader for {pause} ms"));
        w.after(pause, |w| w.server.leader = true);
    }
}

/// An operator changes the settings.
fn change(w: &mut World, stream: Slug) {
    if let Some(link) = w.registered.get_mut(&stream) {
        link.spec_rev += 1;
        w.say(|| format!("{stream} is changed"));
    }
}

fn flip(w: &mut World, stream: Slug) {
    let flips = w.rng.random_range(1..11);
    w.say(|| format!("{stream} is stopped and started, {flips} times in all"));
    for n in 0..flips {
        let stream = stream.clone();
        w.after(n * 100, move |w| {
            if let Some(link) = w.registered.get_mut(&stream) {
                link.enabled = !link.enabled;
            }
            if w.alive(Node::Api) {
                w.pass();
            }
        });
    }
}
