//! From one camera session to every output: keeps the current group of pictures, so that an output that begins
//! late begins at once.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use rsm_media::access_unit::AccessUnit;
use rsm_media::group_queue::{GroupQueue, MAX_BYTES, MAX_UNITS, Popped};
use rsm_media::keyless::Keyless;

/// Distributes the units of one stream. Lives as long as the claim, across camera sessions.
#[derive(Debug, Default)]
pub struct StreamHub {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Since the last key frame; at most [`MAX_UNITS`] and [`MAX_BYTES`], beyond that empty until the next one.
    group: Vec<Arc<AccessUnit>>,
    group_bytes: usize,
    /// One per output that runs: JPEG, the source of HLS, and one per encoded rendition.
    subscribers: Vec<Weak<Shared>>,
}

#[derive(Debug)]
struct Shared {
    listen: Listen,
    queue: Mutex<GroupQueue>,
    news: Notify,
}

/// The units of a stream that an output takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    Video,
    VideoAndAudio,
}

impl Listen {
    fn takes(self, unit: &AccessUnit) -> bool {
        self == Self::VideoAndAudio || unit.is_picture()
    }
}

/// One output's view of a stream. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    /// The newest time in the group handed over at the beginning.
    backlog: Option<(u64, Duration)>,
}

impl StreamHub {
    /// Hands a unit to every subscriber. Never waits.
    pub fn publish(&self, unit: AccessUnit) {
        let unit = Arc::new(unit);
        let mut inner = self.inner.lock();
        inner.keep(&unit);
        inner.subscribers.retain(|subscriber| {
            let Some(shared) = subscriber.upgrade() else { return false };
            if shared.listen.takes(&unit) {
                shared.queue.lock().push(unit.clone());
                shared.news.notify_one();
            }
            true
        });
    }

    /// Forgets the current group: the camera session ended, so its pictures are no longer current.
    pub fn forget(&self) {
        let mut inner = self.inner.lock();
        inner.group = Vec::new();
        inner.group_bytes = 0;
    }

    /// Outputs that listen now.
    pub fn subscribers(&self) -> usize {
        self.inner.lock().subscribers.iter().filter(|subscriber| subscriber.strong_count() > 0).count()
    }

    /// From the current group on.
    pub fn subscribe(&self, listen: Listen) -> Subscription {
        let mut inner = self.inner.lock();
        let mut queue = GroupQueue::new(MAX_UNITS, MAX_BYTES);
        inner.group.iter().filter(|unit| listen.takes(unit)).for_each(|unit| queue.push(unit.clone()));
        let timeline = inner.group.last().map(|unit| unit.timeline);
        let newest = inner.group.iter().filter(|unit| unit.is_picture()).map(|unit| unit.pts).max();
        let shared = Arc::new(Shared { listen, queue: Mutex::new(queue), news: Notify::new() });
        inner.subscribers.push(Arc::downgrade(&shared));
        Subscription { shared, backlog: timeline.zip(newest) }
    }
}

impl Inner {
    fn keep(&mut self, unit: &Arc<AccessUnit>) {
        if unit.is_key {
            self.group.clear();
            self.group_bytes = 0;
        } else if self.group.is_empty() {
            return;
        }
        self.group_bytes += unit.data.len();
        self.group.push(unit.clone());
        if self.group.len() > MAX_UNITS || self.group_bytes > MAX_BYTES {
            self.group = Vec::new();
            self.group_bytes = 0;
        }
    }
}

impl Subscription {
    /// The next unit, or the news that some were dropped because this output was slow. Cancel safe.
    pub async fn next(&self) -> Popped {
        loop {
            if let Some(popped) = self.shared.queue.lock().pop() {
                return popped;
            }
            self.shared.news.notified().await;
        }
    }

    /// The next key frame, looking at `first` before anything else; `None` once pictures have come for `patience`
    /// and none of them was one. While a camera is silent no time passes.
    pub async fn next_key(&self, first: Option<Arc<AccessUnit>>, patience: Duration) -> Option<Arc<AccessUnit>> {
        if let Some(unit) = first.filter(|unit| unit.is_key) {
            return Some(unit);
        }
        let mut keyless = Keyless::default();
        loop {
            let popped = self.shared.queue.lock().pop();
            match popped {
                Some(Popped::Unit(unit)) if unit.is_key => return Some(unit),
                Some(Popped::Unit(unit)) if !unit.is_picture() => continue,
                Some(_) => {}
                // Also for a picture that the queue refused, waiting for a key frame itself.
                None => self.shared.news.notified().await,
            }
            if keyless.picture(Instant::now()) >= patience {
                return None;
            }
        }
    }

    /// Drops the units that wait before the newest key frame; `false` when no key frame waits, and nothing is dropped.
    pub fn skip_to_newest_key(&self) -> bool {
        self.shared.queue.lock().skip_to_newest_key()
    }

    /// True when a picture is of the group that was there before the subscription, and not its newest one: needed for
    /// decoding, not for showing.
    pub fn is_backlog(&self, unit: &AccessUnit) -> bool {
        self.backlog.is_some_and(|(timeline, newest)| unit.timeline == timeline && unit.pts < newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_units::unit;

    async fn pts(subscription: &Subscription) -> u64 {
        match tokio::time::timeout(Duration::from_secs(1), subscription.next()).await.unwrap() {
            Popped::Unit(unit) => unit.pts.as_millis() as u64,
            Popped::Lost(n) => panic!("lost {n}"),
        }
    }

    #[tokio::test]
    async fn a_late_subscriber_gets_the_current_group_at_once() {
        let hub = StreamHub::default();
        for i in 0..7 {
            hub.publish(unit(i, i % 5 == 0));
        }
        let late = hub.subscribe(Listen::VideoAndAudio);
        assert!(late.is_backlog(&unit(5, true)) && !late.is_backlog(&unit(6, false)));
        assert_eq!((pts(&late).await, pts(&late).await), (5, 6));
        hub.publish(unit(7, false));
        assert_eq!(pts(&late).await, 7);
    }

    #[tokio::test]
    async fn a_slow_subscriber_harms_nobody_and_is_told() {
        let hub = StreamHub::default();
        let (slow, fast) = (hub.subscribe(Listen::VideoAndAudio), hub.subscribe(Listen::VideoAndAudio));
        for i in 0..(MAX_UNITS as u64 + 100) {
            hub.publish(unit(i, i % 50 == 0));
            assert_eq!(pts(&fast).await, i);
        }
        assert!(matches!(slow.next().await, Popped::Lost(n) if n >= 100));
        assert!(matches!(slow.next().await, Popped::Unit(unit) if unit.is_key));
    }

    #[tokio::test]
    async fn forgets_the_group_of_an_ended_session_and_dropped_subscribers() {
        let hub = StreamHub::default();
        hub.publish(unit(0, true));
        drop(hub.subscribe(Listen::VideoAndAudio));
        hub.forget();
        hub.publish(unit(1, false));
        let late = hub.subscribe(Listen::VideoAndAudio);
        assert!(tokio::time::timeout(Duration::from_millis(20), late.next()).await.is_err());
        assert_eq!(hub.subscribers(), 1);
    }

    #[tokio::test]
    async fn pictures_without_a_key_frame_are_not_waited_for_without_end() {
        let hub = StreamHub::default();
        let subscription = hub.subscribe(Listen::VideoAndAudio);
        let patience = Duration::from_millis(50);
        let quiet = tokio::time::timeout(patience * 4, subscription.next_key(None, patience)).await;
        assert!(quiet.is_err(), "a silent camera is not one without key frames");
        let camera = async {
            for i in 0.. {
                hub.publish(unit(i, false));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let late = tokio::select! {
            late = subscription.next_key(None, patience) => late,
            () = camera => None,
            () = tokio::time::sleep(Duration::from_secs(10)) => panic!("waits for ever"),
        };
        assert!(late.is_none());
        hub.publish(unit(0, true));
        assert!(subscription.next_key(None, patience).await.is_some_and(|unit| unit.is_key));
    }

    #[tokio::test]
    async fn who_wants_pictures_hears_nothing() {
        let hub = StreamHub::default();
        let audio = crate::test_units::audio();
        hub.publish(unit(0, true));
        hub.publish(AccessUnit { audio: Some(audio.clone()), ..unit(5, false) });
        let (pictures, all) = (hub.subscribe(Listen::Video), hub.subscribe(Listen::VideoAndAudio));
        hub.publish(AccessUnit { audio: Some(audio), ..unit(25, false) });
        hub.publish(unit(40, false));
        assert_eq!([pts(&pictures).await, pts(&pictures).await], [0, 40]);
        assert_eq!([pts(&all).await, pts(&all).await, pts(&all).await, pts(&all).await], [0, 5, 25, 40]);
    }

    #[test]
    fn a_group_without_end_is_not_kept() {
        let hub = StreamHub::default();
        for i in 0..(MAX_UNITS as u64 * 2) {
            hub.publish(unit(i, i == 0));
        }
        assert!(hub.inner.lock().group.is_empty());
    }
}
