//! One camera: its faults and quirks, and the feeds of its clients.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use gstreamer as gst;
use parking_lot::Mutex;

use crate::{
    chance,
    feed::{self, Feed, RtpStart, Sent},
    programme::{ParameterSets, Programme},
    quirks::{Fault, Quirks},
    source::TrackSource,
};

/// Longest jitter in milliseconds. Together with 60 pictures and 26 audio frames a second it bounds the items that
/// wait.
pub const MAX_JITTER_MS: u32 = 10_000;

/// The tracks of a feed, in the order of the SDP.
const VIDEO: usize = 0;
const AUDIO: usize = 1;

#[derive(Default)]
pub struct Camera {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fault: Fault,
    quirks: Quirks,
    /// When a reboot ends.
    back: Option<Instant>,
    /// True while the second clip is shown: as [`Quirks::resized`], from the next key frame on.
    shows_second: bool,
    /// One for each client: a client that stops reading delays no other. Bounded by the server's sessions.
    feeds: Vec<Feed>,
    /// Items that jitter holds back, by the unix time of their release; bounded by [`MAX_JITTER_MS`].
    held: VecDeque<(Duration, Item)>,
    frames_sent: u64,
    frames_dropped: u64,
}

/// An item that is due at one instant.
#[derive(Clone, Copy, Debug)]
pub enum Item {
    /// Picture `number` of [`rsm_simulator::schedule`].
    Picture(u64),
    /// Frame `number` of the sound.
    Sound(u64),
}

/// The answer of `status` about one camera.
pub struct Snapshot {
    pub fault: Fault,
    pub quirks: Quirks,
    pub media: bool,
    pub frames_sent: u64,
    pub frames_dropped: u64,
}

impl Camera {
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state.lock();
        Snapshot {
            fault: state.fault,
            quirks: state.quirks,
            media: !state.feeds.is_empty(),
            frames_sent: state.frames_sent,
            frames_dropped: state.frames_dropped,
        }
    }

    pub fn fault(&self) -> Fault {
        self.state.lock().fault
    }

    pub fn set_fault(&self, fault: Fault) {
        let mut state = self.state.lock();
        state.fault = fault;
        if fault == Fault::Reboot {
            state.quirks = state.quirks.rebooted();
        }
        // After a freeze the pictures between are missing.
        state.need_key();
    }

    /// Ends every fault and every quirk that can be ended.
    pub fn resume(&self) {
        self.set_fault(Fault::None);
        self.set_drift(0);
        let mut state = self.state.lock();
        state.quirks = state.quirks.resumed();
    }

    /// Switches off: whatever is told now is forgotten, and nothing is answered until `back`.
    pub fn reboot(&self, back: Instant) {
        self.set_fault(Fault::Reboot);
        self.state.lock().back = Some(back);
    }

    /// Ends a reboot when its time has come, unless another fault has taken its place.
    pub fn come_back(&self, now: Instant) {
        let mut state = self.state.lock();
        if state.fault == Fault::Reboot && state.back.is_none_or(|back| back <= now) {
            state.fault = Fault::None;
        }
    }

    /// Changes a quirk that takes effect with the next picture by itself.
    pub fn change(&self, change: impl FnOnce(&mut Quirks)) {
        change(&mut self.state.lock().quirks);
    }

    /// Leaves out pictures down to `fps` a second; 0: none.
    pub fn set_fps(&self, fps: u32) {
        let mut state = self.state.lock();
        state.quirks.fps = fps;
        // Pictures of the present group may be missing in between.
        state.need_key();
    }

    /// Makes the timestamps of every client jump.
    pub fn jump(&self, seconds: f64) {
        let mut state = self.state.lock();
        state.quirks.jumped_s += seconds;
        for feed in &mut state.feeds {
            feed.clock.jump((seconds * 1e9) as i64);
        }
    }

    /// Lets timestamps run too fast from now on.
    pub fn set_drift(&self, ppm: i32) {
        let mut state = self.state.lock();
        state.quirks.drift_ppm = ppm;
        for feed in &mut state.feeds {
            feed.drift(ppm);
        }
    }

    /// Takes over the sources of a new client's pipeline, pictures first.
    pub fn attach(&self, sources: Vec<TrackSource>, programme: &Programme, start: RtpStart) {
        let mut state = self.state.lock();
        let hidden = match programme.parameter_sets {
            ParameterSets::InBand => programme.codec.sdp_parameter_sets(),
            ParameterSets::Both | ParameterSets::Sdp => &[],
        };
        let tracks = [
            Some((programme.clip(state.quirks.resized).track.clone(), hidden)),
            programme.sound.as_ref().map(|sound| (sound.track.clone(), &[][..])),
        ];
        let lines = sources.into_iter().zip(tracks.into_iter().flatten());
        let mut feed = Feed::new(lines.map(|(source, (track, hidden))| (source, track, hidden)).collect(), start);
        feed.drift(state.quirks.drift_ppm);
        state.feeds.push(feed);
    }

    /// Forgets the feed of `source`.
    pub fn detach(&self, source: &TrackSource) {
        self.state.lock().feeds.retain(|feed| !feed.is_of(source));
    }

    /// Told when the client of `source` begins or stops to play.
    pub fn set_playing(&self, source: &TrackSource, playing: bool) {
        for feed in self.state.lock().feeds.iter_mut().filter(|feed| feed.is_of(source)) {
            feed.playing = playing;
            feed.needs_key = true;
        }
    }

    /// Sends the item that is due at `due` (unix time) to every client, or keeps it for a while.
    pub fn offer(&self, item: Item, due: Duration, programme: &Programme) {
        let mut state = self.state.lock();
        if state.feeds.is_empty() || state.fault != Fault::None {
            return;
        }
        let before = state.held.back().map(|(release, _)| *release).unwrap_or_default();
        let release = state.quirks.release(due, before, chance::number());
        if release > due {
            state.held.push_back((release, item));
        } else {
            state.send(item, programme);
        }
    }

    /// Sends the items that were kept until `now` (unix time) and returns the time of the next one.
    pub fn release(&self, now: Duration, programme: &Programme) -> Option<Duration> {
        let mut state = self.state.lock();
        if state.fault != Fault::None || state.feeds.is_empty() {
            state.held.clear();
        }
        while let Some((release, item)) = state.held.front().copied() {
            if release > now {
                return Some(release);
            }
            state.held.pop_front();
            state.send(item, programme);
        }
        None
    }
}

impl State {
    fn need_key(&mut self) {
        for feed in &mut self.feeds {
            feed.needs_key = true;
        }
    }

    fn send(&mut self, item: Item, programme: &Programme) {
        match item {
            Item::Picture(number) => self.send_picture(number, programme),
            Item::Sound(number) => self.send_sound(number, programme),
        }
    }

    fn send_picture(&mut self, number: u64, programme: &Programme) {
        let quirks = self.quirks;
        // Both clips have their key frames at the same numbers.
        if programme.clip(quirks.resized).at(number).is_some_and(|(frame, _)| frame.is_key) {
            self.shows_second = quirks.resized;
        }
        let clip = programme.clip(self.shows_second);
        let Some((frame, shown)) = clip.at(number) else { return };
        if !quirks.keeps(number, clip.place(number), clip.gop, clip.schedule.fps()) {
            return;
        }
        let parameter_sets = programme.parameter_sets != ParameterSets::Sdp && !quirks.noparams;
        let mut packets = None;
        let captured = clip.schedule.due(shown);
        let (mut sent, mut dropped) = (false, false);
        for feed in self.feeds.iter_mut().filter(|feed| feed.playing) {
            if feed.needs_key && !frame.is_key {
                continue;
            }
            let packets = packets.get_or_insert_with(|| {
                let whole = feed::whole(&frame.packets, parameter_sets);
                if quirks.half { feed::half(whole) } else { whole }
            });
            feed.align(frame.is_key);
            let outcome = feed.send(VIDEO, captured, packets.iter().cloned());
            feed.needs_key = outcome != Sent::Yes;
            sent |= outcome == Sent::Yes;
            dropped |= outcome == Sent::Dropped;
        }
        self.frames_sent += u64::from(sent);
        self.frames_dropped += u64::from(dropped);
    }

    fn send_sound(&mut self, number: u64, programme: &Programme) {
        let Some(sound) = programme.sound.as_ref().filter(|_| !self.quirks.muted) else { return };
        let packets = sound.at(number);
        for feed in self.feeds.iter_mut().filter(|feed| feed.playing) {
            feed.align(false);
            let payloads = packets.iter().map(|packet| (packet.payload.clone(), packet.marker));
            // A piece of sound that finds no room is lost, as on any network.
            let _ = feed.send(AUDIO, sound.due(number), payloads);
        }
    }
}

impl Feed {
    /// Runs `ppm` too fast from the present on.
    fn drift(&mut self, ppm: i32) {
        let now = self.now().unwrap_or(gst::ClockTime::ZERO);
        self.clock.drift(now, ppm);
    }
}
