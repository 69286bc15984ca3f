//! The ordered goodbye to viewers: all are told at once, and each goes at a moment of its own, so that they do not all
//! come back to another process in the same second.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rsm_shared::config::Config;
use tokio::sync::watch;
use tokio::time::Instant;

/// Part of `control.shutdown_s` that is reserved for everything that ends after the viewers.
const AFTERWARDS: Duration = Duration::from_millis(1500);

/// Says when closing began, and when each viewer goes. Cheap to clone.
#[derive(Clone)]
pub struct Closing {
    drain: Duration,
    begun: watch::Sender<Option<Arc<ClosingPlan>>>,
    /// Goodbyes that are being said.
    goodbyes: Arc<AtomicUsize>,
}

/// A viewer that has left its seat, and may not have heard why yet.
pub struct Goodbye(Arc<AtomicUsize>);

impl Drop for Goodbye {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Made when closing begins.
struct ClosingPlan {
    begun: Instant,
    drain: Duration,
    viewers: usize,
    /// Viewers that have their moment.
    given: AtomicUsize,
}

/// When one viewer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// From now on when it was asked for.
    pub wait: Duration,
    pub at: Instant,
}

impl Moment {
    /// As viewers are told it.
    pub fn in_ms(&self) -> u64 {
        u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Closing {
    /// Over `api.drain_s`, within `control.shutdown_s`.
    pub fn new(config: &Config) -> Self {
        let drain = Duration::from_secs(config.api.drain_s).min(config.shutdown().saturating_sub(AFTERWARDS));
        Self { drain, begun: watch::Sender::new(None), goodbyes: Arc::default() }
    }

    /// Begins, with that many viewers to say goodbye to. How long it takes: nothing when there are none. Once; a later
    /// call changes nothing.
    pub fn begin(&self, viewers: usize) -> Duration {
        let drain = if viewers == 0 { Duration::ZERO } else { self.drain };
        let plan = ClosingPlan { begun: Instant::now(), drain, viewers, given: AtomicUsize::new(0) };
        self.begun.send_if_modified(|begun| {
            let first = begun.is_none();
            if first {
                *begun = Some(Arc::new(plan));
            }
            first
        });
        drain
    }

    /// True once closing has begun: new viewers are refused.
    pub fn has_begun(&self) -> bool {
        self.begun.borrow().is_some()
    }

    /// Says that a goodbye is being said, until it is dropped.
    pub fn goodbye(&self) -> Goodbye {
        self.goodbyes.fetch_add(1, Ordering::Relaxed);
        Goodbye(self.goodbyes.clone())
    }

    /// Goodbyes that are being said now.
    pub fn goodbyes(&self) -> usize {
        self.goodbyes.load(Ordering::Relaxed)
    }

    /// Waits until closing begins.
    pub async fn begun(&self) {
        // Never an error: the sender is here.
        let _ = self.begun.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until closing begins, and returns the moment at which the calling viewer goes. Each call returns a later
    /// one: call it once for each viewer.
    pub async fn moment(&self) -> Moment {
        let mut begun = self.begun.subscribe();
        let plan = begun.wait_for(Option::is_some).await.ok().and_then(|plan| plan.clone());
        match plan {
            Some(plan) => plan.next(),
            // Never: the sender is here.
            None => std::future::pending().await,
        }
    }
}

impl ClosingPlan {
    fn next(&self) -> Moment {
        let turn = self.given.fetch_add(1, Ordering::Relaxed);
        let at = self.begun + share(self.drain, turn, self.viewers);
        Moment { wait: at.saturating_duration_since(Instant::now()), at }
    }
}

/// Time from the beginning of the closing to the departure of viewer number `turn`, from 0: evenly over `drain`. A viewer
/// that was not counted in `viewers` goes with the last one. Pure.
fn share(drain: Duration, turn: usize, viewers: usize) -> Duration {
    let (turn, viewers) = (u32::try_from(turn).unwrap_or(u32::MAX), u32::try_from(viewers).unwrap_or(u32::MAX));
    let turns = viewers.max(1);
    drain.mul_f64(f64::from(turn.saturating_add(1).min(turns)) / f64::from(turns))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAIN: Duration = Duration::from_secs(2);

    #[test]
    fn viewers_go_evenly_and_the_last_at_the_end() {
        let ms = |turn, viewers| share(DRAIN, turn, viewers).as_millis();
        assert_eq!([ms(0, 4), ms(1, 4), ms(2, 4), ms(3, 4)], [500, 1000, 1500, 2000]);
        assert_eq!([ms(0, 1), ms(4, 4), ms(0, 0), ms(usize::MAX, 3)], [2000; 4]);
        assert_eq!(share(Duration::ZERO, 3, 9), Duration::ZERO);
    }

    #[tokio::test]
    async fn the_goodbye_ends_early_enough_and_takes_no_time_without_viewers() {
        let closing = |drain: &str, shutdown: &str| {
            let flags = [("api.drain_s", drain.to_owned()), ("control.shutdown_s", shutdown.to_owned())];
            Closing::new(&Config::load(None, &flags).unwrap())
        };
        assert_eq!(closing("2", "4").begin(1), DRAIN);
        assert_eq!(closing("600", "4").begin(9), Duration::from_millis(2500));
        assert_eq!(closing("2", "1").begin(1), Duration::ZERO);
        let nobody = closing("2", "4");
        assert!(!nobody.has_begun());
        assert_eq!(nobody.begin(0), Duration::ZERO);
        assert!(nobody.has_begun());
    }

    #[tokio::test]
    async fn each_viewer_has_a_moment_of_its_own() {
        let closing = Closing::new(&Config::load(None, &[]).unwrap());
        closing.begin(2);
        let (first, second) = (closing.moment().await, closing.moment().await);
        assert_eq!(second.at - first.at, DRAIN / 2);
        assert!(first.in_ms() <= 1000 && second.in_ms() <= 2000);
    }
}
