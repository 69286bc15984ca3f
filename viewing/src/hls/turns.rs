//! Limits of requests to workers. Each worker has its own number of concurrent requests, so that a worker that hangs
//! delays only the players of its own streams.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Highest number of requests under way, to one worker and to all.
#[derive(Clone, Copy, Debug)]
pub struct TurnLimits {
    pub of_one: usize,
    pub of_all: usize,
}

/// Limits of requests that a worker answers at once.
pub const BRIEF: TurnLimits = TurnLimits { of_one: 8, of_all: 128 };
/// Limits of requests that a worker answers once it has the part that is asked for: one for each rendition that is played
/// with low latency, and one for each part that a player asks for in advance.
pub const LONG: TurnLimits = TurnLimits { of_one: 1024, of_all: 2048 };
/// Requests to one worker, under way and waiting; more fail at once.
const MAX_ASKING: usize = 256;
/// Highest number of workers in the table; requests to one more worker fail.
const MAX_ORIGINS: usize = 4096;
/// Longest wait for a turn. A longer wait means that the worker hangs.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Turns of requests to all workers. Cheap to clone.
#[derive(Clone)]
pub struct RequestTurns {
    of_one: usize,
    all: Arc<Semaphore>,
    /// Workers with requests under way or waiting, by `host:port`. An entry goes with its last request.
    origins: Arc<Mutex<HashMap<String, WorkerTurns>>>,
}

struct WorkerTurns {
    turns: Arc<Semaphore>,
    /// Requests under way and waiting.
    asking: usize,
}

/// A request may go out while this is held.
pub struct Turn {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
    _asker: Asker,
}

/// Counts one request of a worker in the table, until it is dropped.
struct Asker {
    origins: Arc<Mutex<HashMap<String, WorkerTurns>>>,
    http: String,
}

impl RequestTurns {
    /// With the limits `most`; no turn is taken.
    pub fn new(most: TurnLimits) -> Self {
        Self { of_one: most.of_one, all: Arc::new(Semaphore::new(most.of_all)), origins: Arc::default() }
    }

    /// A turn at the worker at `http` (`host:port`) if one is free.
    pub fn try_take(&self, http: &str) -> Option<Turn> {
        let (asker, turns) = self.ask(http, usize::MAX)?;
        let own = turns.try_acquire_owned().ok()?;
        let of_all = self.all.clone().try_acquire_owned().ok()?;
        Some(Turn { _own: own, _of_all: of_all, _asker: asker })
    }

    /// Waits for a turn at the worker at `http` (`host:port`), 2 s at most; `None` when there was none.
    pub async fn take(&self, http: &str) -> Option<Turn> {
        let (asker, turns) = self.ask(http, MAX_ASKING)?;
        let waiting = async {
            // The worker's own turn first: a request that waits for a worker that hangs must not hold a turn of all.
            let own = turns.acquire_owned().await.ok()?;
            let of_all = self.all.clone().acquire_owned().await.ok()?;
            Some(Turn { _own: own, _of_all: of_all, _asker: asker })
        };
        timeout(LONGEST_WAIT, waiting).await.ok().flatten()
    }

    fn ask(&self, http: &str, most: usize) -> Option<(Asker, Arc<Semaphore>)> {
        let mut origins = self.origins.lock();
        if origins.len() >= MAX_ORIGINS && !origins.contains_key(http) {
            return None;
        }
        let origin = origins
            .entry(http.to_owned())
            .or_insert_with(|| WorkerTurns { turns: Arc::new(Semaphore::new(self.of_one)), asking: 0 });
        if origin.asking >= most {
            return None;
        }
        origin.asking += 1;
        Some((Asker { origins: self.origins.clone(), http: http.to_owned() }, origin.turns.clone()))
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let mut origins = self.origins.lock();
        if let Some(origin) = origins.get_mut(&self.http) {
            origin.asking -= 1;
            if origin.asking == 0 {
                origins.remove(&self.http);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn one_worker_uses_up_its_own_turns_only_and_is_forgotten_after_the_last() {
        let turns = RequestTurns::new(BRIEF);
        let mut held = Vec::new();
        for _ in 0..BRIEF.of_one {
            held.push(turns.take("hung:1").await.unwrap());
        }
        let mut waiting = Box::pin(turns.take("hung:1"));
        assert!((&mut waiting).now_or_never().is_none(), "one more waits");
        assert!(turns.take("well:1").now_or_never().flatten().is_some(), "others do not");
        assert_eq!(turns.origins.lock().len(), 1);
        held.pop();
        assert!((&mut waiting).now_or_never().flatten().is_some(), "its turn came");
        drop((waiting, held));
        assert!(turns.origins.lock().is_empty());
        assert_eq!(turns.all.available_permits(), BRIEF.of_all);
    }

    #[tokio::test]
    async fn who_waits_gives_up_and_leaves_nothing_behind() {
        let turns = RequestTurns::new(BRIEF);
        let mut held = Vec::new();
        for _ in 0..BRIEF.of_one {
            held.push(turns.take("hung:1").await.unwrap());
        }
        assert!(turns.take("hung:1").await.is_none());
        assert_eq!(turns.origins.lock()["hung:1"].asking, BRIEF.of_one);
    }

    #[test]
    fn nobody_waits_for_a_long_turn() {
        let turns = RequestTurns::new(TurnLimits { of_one: 2, of_all: 3 });
        let held: Vec<_> = (0..3).map_while(|_| turns.try_take("one:1")).collect();
        assert_eq!(held.len(), 2, "its own are used up");
        let other = turns.try_take("two:1").unwrap();
        assert!(turns.try_take("two:1").is_none() && turns.try_take("three:1").is_none(), "all are used up");
        drop((held, other));
        assert!(turns.origins.lock().is_empty());
        assert!(turns.try_take("one:1").is_some());
    }

    #[test]
    fn neither_the_table_nor_a_queue_in_it_grows_beyond_its_bound() {
        let turns = RequestTurns::new(BRIEF);
        let queue: Vec<_> = (0..MAX_ASKING).map(|_| turns.ask("w:1", MAX_ASKING).unwrap()).collect();
        assert!(turns.ask("w:1", MAX_ASKING).is_none());
        let rest: Vec<_> = (1..MAX_ORIGINS).map(|n| turns.ask(&format!("w:{}", n + 1), MAX_ASKING).unwrap()).collect();
        assert!(turns.ask("another:1", MAX_ASKING).is_none() && turns.ask("w:2", MAX_ASKING).is_some());
        drop(rest);
        assert!(turns.ask("another:1", MAX_ASKING).is_some() && turns.ask("w:1", MAX_ASKING).is_none());
        drop(queue);
        assert!(turns.origins.lock().is_empty());
    }
}
