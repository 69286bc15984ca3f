//! The bounded queue between the hub and one output: full, it drops the oldest whole group of pictures. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use super::access_unit::AccessUnit;

/// Most units waiting for one output: 30 s at 60 pictures per second, so that a group of the usual 1 to 10 s that
/// is handed over at once always fits.
pub const MAX_UNITS: usize = 1800;
/// Most bytes waiting for one output. A group of 10 s at 20 Mbit/s is 25 MB. The data is shared with the hub and
/// with the other outputs, not copied.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Pictures waiting, each group beginning with a key frame.
#[derive(Debug)]
pub struct GroupQueue {
    units: VecDeque<Arc<AccessUnit>>,
    bytes: usize,
    max_units: usize,
    max_bytes: usize,
    /// Pictures are refused until the next key frame.
    waiting_for_key: bool,
    /// Units dropped since the last [`Popped::Lost`].
    dropped: u64,
}

/// One item of the queue, for its reader.
#[derive(Debug)]
pub enum Popped {
    Unit(Arc<AccessUnit>),
    /// So many units are missing before the next one, which is a key frame.
    Lost(u64),
}

impl GroupQueue {
    /// An empty queue with bounds of its own; begins with the next key frame.
    pub fn new(max_units: usize, max_bytes: usize) -> Self {
        Self { units: VecDeque::new(), bytes: 0, max_units, max_bytes, waiting_for_key: true, dropped: 0 }
    }

    /// Adds a unit; beyond the bounds whole groups are dropped, oldest first.
    pub fn push(&mut self, unit: Arc<AccessUnit>) {
        if unit.is_key {
            self.waiting_for_key = false;
        } else if self.waiting_for_key {
            // Before the first key frame nothing was promised, so nothing is lost.
            if self.dropped > 0 {
                self.dropped += 1;
            }
            return;
        }
        self.bytes += unit.data.len();
        self.units.push_back(unit);
        while self.units.len() > self.max_units || self.bytes > self.max_bytes {
            if !self.drop_oldest_group() {
                break;
            }
        }
    }

    /// Takes the oldest unit, or the news of a loss before it.
    pub fn pop(&mut self) -> Option<Popped> {
        if self.dropped > 0 && !self.units.is_empty() {
            return Some(Popped::Lost(std::mem::take(&mut self.dropped)));
        }
        let unit = self.units.pop_front()?;
        self.bytes -= unit.data.len();
        Some(Popped::Unit(unit))
    }

    /// Drops the units that wait before the newest key frame; `false` when no key frame waits, and nothing is dropped.
    pub fn skip_to_newest_key(&mut self) -> bool {
        let Some(newest) = self.units.iter().rposition(|unit| unit.is_key) else { return false };
        for _ in 0..newest {
            if let Some(unit) = self.units.pop_front() {
                self.forget(&unit);
            }
        }
        true
    }

    /// Units waiting.
    pub fn waiting(&self) -> usize {
        self.units.len()
    }

    /// Drops up to the next key frame; a lone group is dropped whole, and the rest of it is refused.
    fn drop_oldest_group(&mut self) -> bool {
        let Some(first) = self.units.pop_front() else { return false };
        self.forget(&first);
        while let Some(unit) = self.units.pop_front_if(|unit| !unit.is_key) {
            self.forget(&unit);
        }
        self.waiting_for_key = self.units.is_empty();
        true
    }

    fn forget(&mut self, unit: &AccessUnit) {
        self.bytes -= unit.data.len();
        self.dropped += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_unit::tests::unit;
    use proptest::prelude::*;

    fn drain(queue: &mut GroupQueue) -> (Vec<(u64, bool)>, u64) {
        let (mut units, mut lost) = (vec![], 0);
        while let Some(popped) = queue.pop() {
            match popped {
                Popped::Unit(unit) => units.push((unit.pts.as_millis() as u64, unit.is_key)),
                Popped::Lost(n) => lost += n,
            }
        }
        (units, lost)
    }

    #[test]
    fn drops_the_oldest_whole_group() {
        let mut queue = GroupQueue::new(5, usize::MAX);
        for i in 0..8 {
            queue.push(Arc::new(unit(i, i % 3 == 0)));
        }
        let (units, lost) = drain(&mut queue);
        assert_eq!((units, lost), (vec![(3, true), (4, false), (5, false), (6, true), (7, false)], 3));
    }

    #[test]
    fn a_group_larger_than_the_bound_goes_whole_and_the_next_key_frame_begins_anew() {
        let mut queue = GroupQueue::new(4, usize::MAX);
        for i in 0..10 {
            queue.push(Arc::new(unit(i, i == 0 || i == 8)));
        }
        let (units, lost) = drain(&mut queue);
        assert_eq!((units, lost), (vec![(8, true), (9, false)], 8));
    }

    #[test]
    fn a_group_half_read_is_not_resumed_after_a_drop() {
        let mut queue = GroupQueue::new(4, usize::MAX);
        (0..3).for_each(|i| queue.push(Arc::new(unit(i, i == 0))));
        assert!(matches!(queue.pop(), Some(Popped::Unit(_))));
        (3..9).for_each(|i| queue.push(Arc::new(unit(i, i == 7))));
        assert!(matches!(queue.pop(), Some(Popped::Lost(6))));
        assert!(matches!(queue.pop(), Some(Popped::Unit(unit)) if unit.is_key));
    }

    #[test]
    fn skips_to_the_newest_key_frame_and_tells_the_loss() {
        let mut queue = GroupQueue::new(100, usize::MAX);
        (0..9).for_each(|i| queue.push(Arc::new(unit(i, i % 3 == 0))));
        assert!(queue.skip_to_newest_key());
        assert_eq!(queue.bytes, 3);
        assert!(matches!(queue.pop(), Some(Popped::Lost(6))));
        assert!(matches!(queue.pop(), Some(Popped::Unit(unit)) if unit.is_key && unit.pts.as_millis() == 6));
        assert!(!queue.skip_to_newest_key());
        assert_eq!(drain(&mut queue), (vec![(7, false), (8, false)], 0));
    }

    proptest! {
        #[test]
        fn bounded_and_decodable(keys in prop::collection::vec(prop::bool::weighted(0.2), 0..200), reads in prop::collection::vec(0usize..4, 200)) {
            let mut queue = GroupQueue::new(10, 6);
            let mut expected: Option<u64> = None;
            for (i, is_key) in keys.into_iter().enumerate() {
                queue.push(Arc::new(unit(i as u64, is_key)));
                prop_assert!(queue.waiting() <= 6);
                for _ in 0..reads[i] {
                    match queue.pop() {
                        // A picture follows its predecessor, or is a key frame.
                        Some(Popped::Unit(unit)) => {
                            let at = unit.pts.as_millis() as u64;
                            prop_assert!(unit.is_key || expected == Some(at));
                            expected = Some(at + 1);
                        }
                        Some(Popped::Lost(n)) => {
                            prop_assert!(n > 0);
                            expected = None;
                        }
                        None => {}
                    }
                }
            }
        }
    }
}
