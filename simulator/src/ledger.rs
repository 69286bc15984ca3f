//! Connected clients and the tracks that each plays: bookkeeping without GStreamer.
//!
//! Grows with the clients that are there and shrinks when they leave; only the totals stay.

use std::collections::{BTreeSet, HashMap};

/// Names one TCP connection while it lasts.
pub type ConnectionId = usize;

#[derive(Default)]
pub struct Ledger {
    /// The cameras that each connection has asked for.
    connections: HashMap<ConnectionId, BTreeSet<usize>>,
    /// RTSP sessions that play, by session identifier and camera.
    playing: HashMap<(String, usize), ConnectionId>,
    /// Plays ever begun, by camera.
    totals: Vec<u64>,
}

impl Ledger {
    pub fn new(cameras: usize) -> Self {
        Self { totals: vec![0; cameras], ..Self::default() }
    }

    pub fn connected(&mut self, connection: ConnectionId) {
        self.connections.entry(connection).or_default();
    }

    /// The connection has asked for `camera`, whether or not it will play.
    pub fn asked(&mut self, connection: ConnectionId, camera: usize) {
        self.connections.entry(connection).or_default().insert(camera);
    }

    /// A session began to play. A second PLAY of a playing session (a keep-alive of some clients) counts nothing.
    pub fn played(&mut self, connection: ConnectionId, session: &str, camera: usize) {
        if self.playing.insert((session.to_owned(), camera), connection).is_none() {
            self.totals[camera] += 1;
        }
    }

    /// PAUSE or TEARDOWN.
    pub fn stopped(&mut self, session: &str, camera: usize) {
        self.playing.remove(&(session.to_owned(), camera));
    }

    /// The session ended by whatever cause, a timeout included.
    pub fn session_ended(&mut self, session: &str) {
        self.playing.retain(|(id, _), _| id != session);
    }

    pub fn closed(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
        self.playing.retain(|_, owner| *owner != connection);
    }

    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The connections that have asked for a camera which `wanted` accepts.
    pub fn connections_of(&self, wanted: impl Fn(usize) -> bool) -> BTreeSet<ConnectionId> {
        let asked = |(id, cameras): (&ConnectionId, &BTreeSet<usize>)| {
            cameras.iter().any(|camera| wanted(*camera)).then_some(*id)
        };
        self.connections.iter().filter_map(asked).collect()
    }

    /// Sessions playing now, by camera.
    pub fn playing(&self) -> Vec<usize> {
        let mut counts = vec![0; self.totals.len()];
        for (_, camera) in self.playing.keys() {
            counts[*camera] += 1;
        }
        counts
    }

    pub fn played_total(&self, camera: usize) -> u64 {
        self.totals[camera]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_counts_once_until_it_stops() {
        let mut ledger = Ledger::new(2);
        ledger.connected(7);
        ledger.played(7, "s1", 1);
        ledger.played(7, "s1", 1);
        ledger.played(8, "s2", 1);
        assert_eq!((ledger.playing(), ledger.played_total(1)), (vec![0, 2], 2));
        ledger.stopped("s1", 1);
        ledger.session_ended("s2");
        assert_eq!((ledger.playing(), ledger.played_total(1)), (vec![0, 0], 2));
    }

    #[test]
    fn nothing_but_the_totals_is_left_of_a_closed_connection() {
        let mut ledger = Ledger::new(1);
        ledger.connected(7);
        ledger.asked(7, 0);
        ledger.played(7, "s1", 0);
        ledger.closed(7);
        assert_eq!(ledger.connections(), 0);
        assert_eq!(ledger.playing(), [0]);
        assert!(ledger.connections_of(|_| true).is_empty());
        assert_eq!(ledger.played_total(0), 1);
    }

    #[test]
    fn connections_are_found_by_what_they_asked_for() {
        let mut ledger = Ledger::new(3);
        ledger.asked(1, 0);
        ledger.asked(2, 2);
        ledger.connected(3);
        assert_eq!(ledger.connections_of(|camera| camera == 2), BTreeSet::from([2]));
        assert_eq!(ledger.connections_of(|_| true), BTreeSet::from([1, 2]));
    }
}
