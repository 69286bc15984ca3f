//! Whose request goes out now: each worker has a few turns of its own, so that one which hangs holds up nobody's
//! players but its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Requests under way to one worker.
const MAX_OF_ONE: usize = 8;
/// Requests under way, to all workers.
const MAX_OF_ALL: usize = 128;
/// Requests to one worker, under way and waiting; more fail at once.
const MAX_ASKING: usize = 256;
/// Workers that are asked at a time; one more is not.
const MAX_ORIGINS: usize = 4096;
/// Longest wait for a turn. Who waits longer waits for a worker that hangs.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Turns of all workers. Cheap to clone.
#[derive(Clone)]
pub struct Turns {
    all: Arc<Semaphore>,
    /// Workers that are being asked, by `host:port`; one that is not is forgotten.
    origins: Arc<Mutex<HashMap<String, Origin>>>,
}

struct Origin {
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

/// Keeps a worker in the table.
struct Asker {
    origins: Arc<Mutex<HashMap<String, Origin>>>,
    http: String,
}

impl Turns {
    /// None is taken.
    pub fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(MAX_OF_ALL)), origins: Arc::default() }
    }

    /// Waits for a turn at the worker at `http` (`host:port`), 2 s at most; `None` when there was none.
    pub async fn take(&self, http: &str) -> Option<Turn> {
        let (asker, turns) = self.ask(http)?;
        let waiting = async {
            // Its own first: who waits for a worker that hangs must not keep a turn from the others.
            let own = turns.acquire_owned().await.ok()?;
            let of_all = self.all.clone().acquire_owned().await.ok()?;
            Some(Turn { _own: own, _of_all: of_all, _asker: asker })
        };
        timeout(LONGEST_WAIT, waiting).await.ok().flatten()
    }

    fn ask(&self, http: &str) -> Option<(Asker, Arc<Semaphore>)> {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if origins.len() >= MAX_ORIGINS && !origins.contains_key(http) {
            return None;
        }
        let origin = origins
            .entry(http.to_owned())
            .or_insert_with(|| Origin { turns: Arc::new(Semaphore::new(MAX_OF_ONE)), asking: 0 });
        if origin.asking >= MAX_ASKING {
            return None;
        }
        origin.asking += 1;
        Some((Asker { origins: self.origins.clone(), http: http.to_owned() }, origin.turns.clone()))
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
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
        let turns = Turns::new();
        let mut held = Vec::new();
        for _ in 0..MAX_OF_ONE {
            held.push(turns.take("hung:1").await.unwrap());
        }
        let mut waiting = Box::pin(turns.take("hung:1"));
        assert!((&mut waiting).now_or_never().is_none(), "one more waits");
        assert!(turns.take("well:1").now_or_never().flatten().is_some(), "others do not");
        assert_eq!(turns.origins.lock().unwrap().len(), 1);
        held.pop();
        assert!((&mut waiting).now_or_never().flatten().is_some(), "its turn came");
        drop((waiting, held));
        assert!(turns.origins.lock().unwrap().is_empty());
        assert_eq!(turns.all.available_permits(), MAX_OF_ALL);
    }

    #[tokio::test]
    async fn who_waits_gives_up_and_leaves_nothing_behind() {
        let turns = Turns::new();
        let mut held = Vec::new();
        for _ in 0..MAX_OF_ONE {
            held.push(turns.take("hung:1").await.unwrap());
        }
        assert!(turns.take("hung:1").await.is_none());
        assert_eq!(turns.origins.lock().unwrap()["hung:1"].asking, MAX_OF_ONE);
    }

    #[test]
    fn neither_the_table_nor_a_queue_in_it_grows_beyond_its_bound() {
        let turns = Turns::new();
        let queue: Vec<_> = (0..MAX_ASKING).map(|_| turns.ask("w:1").unwrap()).collect();
        assert!(turns.ask("w:1").is_none());
        let rest: Vec<_> = (1..MAX_ORIGINS).map(|n| turns.ask(&format!("w:{}", n + 1)).unwrap()).collect();
        assert!(turns.ask("another:1").is_none() && turns.ask("w:2").is_some());
        drop(rest);
        assert!(turns.ask("another:1").is_some() && turns.ask("w:1").is_none());
        drop(queue);
        assert!(turns.origins.lock().unwrap().is_empty());
    }
}
