//! Commands under way. A stream has one at a time, and all streams together have a bounded number.

use std::collections::{HashMap, HashSet};

use rsm_model::stream::names::SessionId;
use rsm_model::stream::slug::Slug;

/// Most commands under way; further ones wait for the next pass.
const MAX_COMMANDS: usize = 32;
/// The same for commands of the last class: no viewer waits for them, and they must not delay others.
const MAX_LAST_CLASS: usize = 8;
/// The last class of [`super::plan::Step::class`].
const LAST_CLASS: u8 = 2;

/// The streams that have a command under way; at most `MAX_COMMANDS`.
#[derive(Debug, Default)]
pub struct InFlight {
    streams: HashSet<Slug>,
    /// The worker processes that streams are being offered to. One entry for each stream in `streams` at most.
    destinations: HashMap<Slug, SessionId>,
}

impl InFlight {
    /// Returns whether a command about `slug` is under way.
    pub fn contains(&self, slug: &Slug) -> bool {
        self.streams.contains(slug)
    }

    /// Returns whether no command is under way.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Returns whether another command of that class may begin.
    pub fn has_room(&self, class: u8) -> bool {
        self.streams.len() < if class < LAST_CLASS { MAX_COMMANDS } else { MAX_LAST_CLASS }
    }

    /// Notes that a command about `slug` begins; `to` is the process that the stream is offered to.
    pub fn begin(&mut self, slug: &Slug, to: Option<SessionId>) {
        self.streams.insert(slug.clone());
        if let Some(to) = to {
            self.destinations.insert(slug.clone(), to);
        }
    }

    /// Notes that the command about `slug` has ended, or was not begun after all.
    pub fn end(&mut self, slug: &Slug) {
        self.streams.remove(slug);
        self.destinations.remove(slug);
    }

    /// Streams that are being offered to a worker process.
    pub fn destinations(&self) -> impl ExactSizeIterator<Item = (&Slug, &SessionId)> {
        self.destinations.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_bounded_and_those_that_can_wait_leave_room_for_others() {
        let mut commands = InFlight::default();
        let slug = |n| Slug::parse(&format!("cam{n}")).unwrap();
        for n in 0..MAX_COMMANDS {
            assert!(commands.has_room(0), "{n}");
            assert_eq!(commands.has_room(LAST_CLASS), n < MAX_LAST_CLASS, "{n}");
            commands.begin(&slug(n), SessionId::parse("w1-a").ok());
        }
        assert!(!commands.has_room(0));
        commands.end(&slug(0));
        assert!(commands.has_room(0) && !commands.contains(&slug(0)));
        assert_eq!(commands.destinations().len(), MAX_COMMANDS - 1);
    }
}
