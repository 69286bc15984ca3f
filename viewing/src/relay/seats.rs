//! Limits of the number of viewers of one process: in all, of one stream, and from one address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::IntCounterVec;
use rsm_shared::config::ApiConfig;
use rsm_shared::stream::slug::Slug;

/// Kind of a viewer's connection. A closed set: it is a metrics label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewerKind {
    /// Frames over WebSocket.
    Mjpeg,
    /// Frames as `multipart/x-mixed-replace`.
    Multipart,
    /// Server-sent events.
    Events,
}

impl ViewerKind {
    pub const ALL: [Self; 3] = [Self::Mjpeg, Self::Multipart, Self::Events];

    /// The name that stands in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mjpeg => "mjpeg",
            Self::Multipart => "multipart",
            Self::Events => "events",
        }
    }
}

/// The bound that refuses a viewer. A closed set: it is a metrics label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeatRefusal {
    /// Every seat is taken.
    All,
    /// The stream has as many viewers as it may.
    Stream,
    /// The address has as many as it may.
    Address,
}

impl SeatRefusal {
    pub const ALL: [Self; 3] = [Self::All, Self::Stream, Self::Address];

    /// The name that stands in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Stream => "stream",
            Self::Address => "address",
        }
    }
}

/// Highest numbers of viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeatBounds {
    pub all: usize,
    /// 0: no bound of its own.
    pub per_stream: usize,
    /// As `per_stream`.
    pub per_address: usize,
}

impl SeatBounds {
    /// Those of the configuration.
    pub fn of(config: &ApiConfig) -> Self {
        let bound = |value| usize::try_from(value).unwrap_or(usize::MAX);
        Self {
            all: bound(config.max_viewers),
            per_stream: bound(config.max_viewers_per_stream),
            per_address: bound(config.max_viewers_per_address),
        }
    }
}

/// Seats for viewers. Cheap to clone.
#[derive(Clone)]
pub struct Seats(Arc<SharedSeats>);

struct SharedSeats {
    bounds: SeatBounds,
    table: Mutex<SeatTable>,
    refusals: IntCounterVec,
}

/// Seats that are taken. No map has more entries than there are seats.
#[derive(Default)]
struct SeatTable {
    taken: usize,
    kinds: HashMap<ViewerKind, usize>,
    streams: HashMap<Slug, ByKind>,
    addresses: HashMap<IpAddr, usize>,
}

/// Viewers of one stream, in the order of [`ViewerKind::ALL`].
pub type ByKind = [usize; ViewerKind::ALL.len()];

/// One viewer's seat; free again when dropped.
pub struct Seat {
    hall: Arc<SharedSeats>,
    kind: ViewerKind,
    stream: Option<Slug>,
    address: IpAddr,
}

impl Seats {
    /// Within `bounds`; `refusals` counts by [`SeatRefusal::as_str`].
    pub fn new(bounds: SeatBounds, refusals: IntCounterVec) -> Self {
        Self(Arc::new(SharedSeats { bounds, table: Mutex::default(), refusals }))
    }

    /// A seat for a viewer at `address`, of `stream` if it watches one.
    ///
    /// # Errors
    /// The first bound that it would be beyond.
    pub fn take(&self, kind: ViewerKind, stream: Option<&Slug>, address: IpAddr) -> Result<Seat, SeatRefusal> {
        let address = network(address);
        let mut table = self.0.table.lock();
        let refused = table.refusal(self.0.bounds, stream, address);
        if let Some(refusal) = refused {
            drop(table);
            self.0.refusals.with_label_values(&[refusal.as_str()]).inc();
            return Err(refusal);
        }
        table.taken += 1;
        *table.kinds.entry(kind).or_default() += 1;
        if let Some(stream) = stream {
            table.streams.entry(stream.clone()).or_default()[kind as usize] += 1;
        }
        *table.addresses.entry(address).or_default() += 1;
        Ok(Seat { hall: self.0.clone(), kind, stream: stream.cloned(), address })
    }

    /// Seats taken now.
    pub fn taken(&self) -> usize {
        self.0.table.lock().taken
    }

    /// Seats taken now by viewers of that kind.
    pub fn taken_by(&self, kind: ViewerKind) -> usize {
        self.0.table.lock().kinds.get(&kind).copied().unwrap_or(0)
    }

    /// Viewers of every stream that has some.
    pub fn by_stream(&self) -> HashMap<Slug, ByKind> {
        self.0.table.lock().streams.clone()
    }

    /// Streams and addresses that are counted now.
    #[cfg(test)]
    pub fn counted(&self) -> (usize, usize) {
        let table = self.0.table.lock();
        (table.streams.len(), table.addresses.len())
    }
}

impl SeatTable {
    fn watching(&self, stream: &Slug) -> Option<usize> {
        self.streams.get(stream).map(|kinds| kinds.iter().sum())
    }

    fn refusal(&self, bounds: SeatBounds, stream: Option<&Slug>, address: IpAddr) -> Option<SeatRefusal> {
        let full = |bound: usize, taken: Option<&usize>| bound > 0 && taken.is_some_and(|taken| *taken >= bound);
        if full(bounds.per_address, self.addresses.get(&address)) {
            Some(SeatRefusal::Address)
        } else if self.taken >= bounds.all {
            Some(SeatRefusal::All)
        } else if full(bounds.per_stream, stream.and_then(|stream| self.watching(stream)).as_ref()) {
            Some(SeatRefusal::Stream)
        } else {
            None
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.hall.table.lock();
        table.taken -= 1;
        less(&mut table.kinds, &self.kind);
        if let Some(stream) = &self.stream
            && let Some(kinds) = table.streams.get_mut(stream)
        {
            kinds[self.kind as usize] -= 1;
            if *kinds == ByKind::default() {
                table.streams.remove(stream);
            }
        }
        less(&mut table.addresses, &self.address);
    }
}

fn less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// The part of an address that counts as one: the first 64 bits of IPv6, the smallest network of a customer.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Opts;

    fn seats(all: usize, per_stream: usize, per_address: usize) -> Seats {
        let refusals = IntCounterVec::new(Opts::new("refusals", "refusals"), &["reason"]).unwrap();
        Seats::new(SeatBounds { all, per_stream, per_address }, refusals)
    }

    fn slug(text: &str) -> Slug {
        Slug::parse(text).unwrap()
    }

    fn take(seats: &Seats, stream: &str, address: &str) -> Result<Seat, SeatRefusal> {
        seats.take(ViewerKind::Mjpeg, Some(&slug(stream)), address.parse().unwrap())
    }

    #[test]
    fn a_seat_is_free_again_when_its_viewer_goes() {
        let seats = seats(2, 0, 0);
        let first = take(&seats, "a", "10.0.0.1").unwrap();
        let _second = seats.take(ViewerKind::Events, None, "10.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(take(&seats, "a", "10.0.0.1").err(), Some(SeatRefusal::All));
        assert_eq!((seats.taken(), seats.taken_by(ViewerKind::Mjpeg), seats.taken_by(ViewerKind::Events)), (2, 1, 1));
        drop(first);
        assert_eq!((seats.taken(), seats.counted()), (1, (0, 1)));
        assert!(take(&seats, "a", "10.0.0.1").is_ok());
        assert_eq!(seats.0.refusals.with_label_values(&["all"]).get(), 1);
    }

    #[test]
    fn each_bound_refuses_for_itself() {
        let seats = seats(5, 2, 3);
        let held: Vec<_> = ["10.0.0.1", "10.0.0.2"].map(|address| take(&seats, "a", address).unwrap()).into();
        assert_eq!(take(&seats, "a", "10.0.0.3").err(), Some(SeatRefusal::Stream));
        let more: Vec<_> = ["b", "c"].map(|stream| take(&seats, stream, "10.0.0.1").unwrap()).into();
        assert_eq!(take(&seats, "d", "::ffff:10.0.0.1").err(), Some(SeatRefusal::Address), "IPv4 in IPv6's clothes");
        assert!(take(&seats, "d", "10.0.0.4").is_ok());
        drop((held, more));
        assert_eq!((seats.taken(), seats.counted()), (0, (0, 0)));
    }

    #[test]
    fn ipv6_counts_by_network() {
        let seats = seats(10, 0, 1);
        let _held = take(&seats, "a", "2001:db8:1:1::1").unwrap();
        assert_eq!(take(&seats, "a", "2001:db8:1:1:ffff::2").err(), Some(SeatRefusal::Address));
        assert!(take(&seats, "a", "2001:db8:1:2::1").is_ok());
    }
}
