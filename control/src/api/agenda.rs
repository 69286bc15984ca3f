//! The streams that the next pass has to look at: those with news, those whose time has come, and those whose command
//! found no room. At rest it is empty, so a pass costs next to nothing, whatever the number of streams.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Instant;

use rsm_model::stream::slug::Slug;

/// Most streams without room for their command that one pass looks at again: twice as many as commands may be under way.
const BACKLOG_AT_A_TIME: usize = 64;

/// A place in the backlog: class of the step, then the id of the link.
type Place = (u8, i64);

/// The agenda. Each collection holds one entry for each stream at most.
#[derive(Debug, Default)]
pub struct Agenda {
    /// Something about them changed since they were last looked at.
    news: HashSet<Slug>,
    /// The same for the clients' view of them.
    unshown: HashSet<Slug>,
    /// Every stream is to be looked at.
    all: bool,
    /// The clients' view of every stream may have changed.
    all_unshown: bool,
    /// When the step of a stream may change though nothing happens.
    due: BTreeSet<(Instant, Slug)>,
    due_at: HashMap<Slug, Instant>,
    /// Streams whose command found no room, the most urgent first.
    backlog: BTreeSet<(Place, Slug)>,
    places: HashMap<Slug, Place>,
}

/// The streams of one pass.
#[derive(Debug, PartialEq, Eq)]
pub enum Looks {
    All,
    /// In no order.
    These(HashSet<Slug>),
}

impl Agenda {
    /// Something about a stream changed.
    pub fn mark(&mut self, slug: &Slug) {
        if !self.all {
            self.news.insert(slug.clone());
        }
        if !self.all_unshown {
            self.unshown.insert(slug.clone());
        }
    }

    /// Something changed that may concern every stream.
    pub fn mark_all(&mut self) {
        (self.all, self.all_unshown) = (true, true);
        self.news.clear();
        self.unshown.clear();
    }

    /// Has the stream looked at again at that time, or earlier when it was to be anyway; `None` takes the time back.
    pub fn schedule(&mut self, slug: &Slug, at: Option<Instant>) {
        if let Some(before) = self.due_at.remove(slug) {
            self.due.remove(&(before, slug.clone()));
        }
        if let Some(at) = at {
            self.due_at.insert(slug.clone(), at);
            self.due.insert((at, slug.clone()));
        }
    }

    /// The command of a stream found no room: it waits for its turn.
    pub fn defer(&mut self, slug: &Slug, class: u8, id: i64) {
        self.places.insert(slug.clone(), (class, id));
        self.backlog.insert(((class, id), slug.clone()));
    }

    /// Forgets a stream.
    pub fn forget(&mut self, slug: &Slug) {
        self.news.remove(slug);
        self.leave(slug);
        self.schedule(slug, None);
    }

    fn leave(&mut self, slug: &Slug) {
        if let Some(place) = self.places.remove(slug) {
            self.backlog.remove(&(place, slug.clone()));
        }
    }

    /// Marks the streams whose time has come.
    pub fn advance(&mut self, now: Instant) {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, slug)) = self.due.pop_first() else { break };
            self.due_at.remove(&slug);
            self.mark(&slug);
        }
    }

    /// Streams whose clients' view may have changed since the last call.
    pub fn take_unshown(&mut self) -> Looks {
        if std::mem::take(&mut self.all_unshown) { Looks::All } else { Looks::These(std::mem::take(&mut self.unshown)) }
    }

    /// The streams to look at now.
    pub fn take(&mut self) -> Looks {
        if std::mem::take(&mut self.all) {
            self.backlog.clear();
            self.places.clear();
            return Looks::All;
        }
        let mut looks = std::mem::take(&mut self.news);
        looks.iter().for_each(|slug| self.leave(slug));
        for _ in 0..BACKLOG_AT_A_TIME {
            let Some((_, slug)) = self.backlog.pop_first() else { break };
            self.places.remove(&slug);
            looks.insert(slug);
        }
        Looks::These(looks)
    }

    /// Returns whether the next pass would look at a stream by itself.
    pub fn covers(&self, slug: &Slug) -> bool {
        self.all || self.news.contains(slug) || self.places.contains_key(slug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn slug(n: usize) -> Slug {
        Slug::parse(&format!("cam{n}")).unwrap()
    }

    fn these(slugs: &[usize]) -> Looks {
        Looks::These(slugs.iter().map(|n| slug(*n)).collect())
    }

    #[test]
    fn what_has_news_or_is_due_is_looked_at_once() {
        let (mut agenda, start) = (Agenda::default(), Instant::now());
        agenda.mark(&slug(1));
        agenda.mark(&slug(1));
        agenda.schedule(&slug(2), Some(start + Duration::from_secs(2)));
        agenda.schedule(&slug(3), Some(start + Duration::from_secs(1)));
        agenda.schedule(&slug(3), None);
        agenda.advance(start);
        assert_eq!((agenda.take_unshown(), agenda.take()), (these(&[1]), these(&[1])));
        agenda.advance(start + Duration::from_secs(2));
        assert_eq!((agenda.take_unshown(), agenda.take()), (these(&[2]), these(&[2])));
        agenda.advance(start + Duration::from_secs(9));
        assert_eq!((agenda.take_unshown(), agenda.take()), (these(&[]), these(&[])));
    }

    #[test]
    fn the_backlog_is_taken_by_class_and_id_and_a_part_at_a_time() {
        let mut agenda = Agenda::default();
        for n in 0..100 {
            agenda.defer(&slug(n), 1, i64::try_from(n).unwrap());
        }
        agenda.defer(&slug(200), 0, 200);
        agenda.mark(&slug(50));
        let Looks::These(first) = agenda.take() else { panic!("not all") };
        assert!(first.contains(&slug(200)) && first.contains(&slug(50)) && first.contains(&slug(62)));
        assert_eq!(first.len(), BACKLOG_AT_A_TIME + 1);
        assert!(!first.contains(&slug(64)) && agenda.covers(&slug(64)));
        let Looks::These(rest) = agenda.take() else { panic!("not all") };
        assert_eq!((rest.len(), agenda.covers(&slug(99))), (36, false));
    }

    #[test]
    fn all_means_all_once() {
        let mut agenda = Agenda::default();
        agenda.defer(&slug(1), 1, 1);
        agenda.mark_all();
        agenda.mark(&slug(2));
        assert_eq!((agenda.take_unshown(), agenda.take()), (Looks::All, Looks::All));
        assert_eq!((agenda.take_unshown(), agenda.take()), (these(&[]), these(&[])));
    }
}
