//! Players of HLS: a player counts as present while it fetches its media playlist again and again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A player that has not fetched the playlist for this long is gone, unless its playlist asks for more patience.
const EXPIRY: Duration = Duration::from_secs(15);
/// Players counted of one stream at most.
const MAX_PER_STREAM: usize = 4096;
/// Players counted at most, in all.
const MAX_ALL: usize = 100_000;

/// Tells one player from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Player {
    /// By the id in the address that our multivariant playlist gave it.
    Id(u64),
    /// By its address: it has the media playlist from elsewhere.
    Address(IpAddr),
}

/// Players by stream. Cheap to clone.
#[derive(Clone, Default)]
pub struct Players(Arc<Mutex<PlayerTable>>);

#[derive(Default)]
struct PlayerTable {
    /// Until when each player is taken to be there.
    streams: HashMap<i64, HashMap<Player, Instant>>,
    /// When players that went were last looked for in all streams.
    swept: Option<Instant>,
}

impl Players {
    /// A player of the stream fetched the playlist at `now`, and need not come again for `patience`.
    pub fn saw(&self, stream: i64, player: Player, patience: Duration, now: Instant) {
        let mut table = self.0.lock();
        table.sweep(now);
        let known = table.streams.get(&stream).is_some_and(|players| players.contains_key(&player));
        if !known && table.streams.values().map(HashMap::len).sum::<usize>() >= MAX_ALL {
            return;
        }
        let players = table.streams.entry(stream).or_default();
        if known || players.len() < MAX_PER_STREAM {
            players.insert(player, now + patience.max(EXPIRY));
        }
    }

    /// Players of one stream.
    pub fn of(&self, stream: i64) -> usize {
        self.of_at(stream, Instant::now())
    }

    fn of_at(&self, stream: i64, now: Instant) -> usize {
        let table = self.0.lock();
        table.streams.get(&stream).map_or(0, |players| players.values().filter(|until| **until > now).count())
    }

    /// Players of every stream that has some.
    pub fn by_stream(&self) -> HashMap<i64, usize> {
        self.by_stream_at(Instant::now())
    }

    fn by_stream_at(&self, now: Instant) -> HashMap<i64, usize> {
        let table = self.0.lock();
        let of = |players: &HashMap<Player, Instant>| players.values().filter(|until| **until > now).count();
        table.streams.iter().map(|(id, players)| (*id, of(players))).filter(|(_, count)| *count > 0).collect()
    }
}

impl PlayerTable {
    /// Forgets players that went; once per expiry at most, as it looks at all.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now.duration_since(swept) < EXPIRY) {
            return;
        }
        self.swept = Some(now);
        for players in self.streams.values_mut() {
            players.retain(|_, until| *until > now);
        }
        self.streams.retain(|_, players| !players.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_player_counts_once_and_goes_by_itself() {
        let players = Players::default();
        let begin = Instant::now();
        for player in [Player::Id(1), Player::Id(2), Player::Id(1), Player::Address([127, 0, 0, 1].into())] {
            players.saw(7, player, Duration::ZERO, begin);
        }
        assert_eq!((players.of(7), players.of(8), players.by_stream()), (3, 0, HashMap::from([(7, 3)])));
        let later = begin + EXPIRY;
        assert_eq!((players.of_at(7, later), players.by_stream_at(later).len()), (0, 0));
        players.saw(8, Player::Id(1), EXPIRY * 4, later);
        assert_eq!(players.0.lock().streams.len(), 1, "what went is not kept");
        assert_eq!(players.of_at(8, later + EXPIRY * 3), 1, "long segments, long patience");
    }

    #[test]
    fn no_stream_counts_more_than_its_bound() {
        let players = Players::default();
        let now = Instant::now();
        for id in 0..u64::try_from(MAX_PER_STREAM).unwrap() + 10 {
            players.saw(1, Player::Id(id), Duration::ZERO, now);
        }
        assert_eq!(players.of(1), MAX_PER_STREAM);
        players.saw(1, Player::Id(0), Duration::ZERO, now);
        assert_eq!(players.of(1), MAX_PER_STREAM);
    }
}
