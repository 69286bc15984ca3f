//! Where segments begin, shared by the tasks of one stream: the source decides, every other rendition follows.

use std::sync::Arc;
use std::time::Duration;

use rsm_media::hls::cuts::Cuts;
use rsm_media::hls::parts::PartTarget;
use rsm_media::hls::planner::Cut;
use tokio::sync::watch;

/// The plan of one stream. Clones share it.
#[derive(Clone, Debug)]
pub struct SegmentPlan(Arc<watch::Sender<PlanState>>);

#[derive(Debug, Default)]
struct PlanState {
    cuts: Cuts,
    /// `None` until the source has decided; `Some(None)` when there are no parts.
    part_target: Option<Option<PartTarget>>,
    /// Number of times that the source was begun anew.
    run: u64,
}

impl Default for SegmentPlan {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(PlanState::default())))
    }
}

impl SegmentPlan {
    /// The source's picture at `pts` was examined; it begins `cut`, if any.
    pub fn decided(&self, timeline: u64, pts: Duration, cut: Option<Cut>) {
        self.0.send_modify(|state| state.cuts.add(timeline, pts, cut));
    }

    /// The source ended, and may begin anew in the same timeline with pictures that it had already: earlier decisions no
    /// longer hold, and followers wait for new ones.
    pub fn begin_anew(&self) {
        self.0.send_modify(|state| {
            state.cuts.clear();
            state.run += 1;
        });
    }

    /// The number of the source's present run, once its first picture was examined. Cancel safe.
    pub async fn begun(&self) -> u64 {
        let mut receiver = self.0.subscribe();
        // The sender lives as long as `self`, so no wait in this file fails.
        let begun = receiver.wait_for(|state| state.cuts.is_begun()).await;
        begun.map_or(0, |state| state.run)
    }

    /// Waits until that run of the source is over. Cancel safe.
    pub async fn over(&self, run: u64) {
        let _ = self.0.subscribe().wait_for(|state| state.run != run).await;
    }

    /// Sets how long a part of every rendition may be; `None`: there are no parts.
    pub fn set_part_target(&self, target: Option<PartTarget>) {
        self.0.send_modify(|state| state.part_target = Some(target));
    }

    /// The value of [`Self::set_part_target`], once it was called. Cancel safe.
    pub async fn part_target(&self) -> Option<PartTarget> {
        let mut receiver = self.0.subscribe();
        let target = receiver.wait_for(|state| state.part_target.is_some()).await;
        target.ok().and_then(|state| state.part_target.flatten())
    }

    /// The value of [`Self::set_part_target`]; `None` before it was called.
    pub fn known_part_target(&self) -> Option<Option<PartTarget>> {
        self.0.borrow().part_target
    }

    /// The segment that begins with the source's key frame at `pts`, once that is decided. Cancel safe.
    pub async fn cut_at(&self, timeline: u64, pts: Duration) -> Option<Cut> {
        let mut receiver = self.0.subscribe();
        let decided = receiver.wait_for(|state| state.cuts.covers(timeline, pts)).await;
        decided.ok()?.cuts.at(timeline, pts)
    }

    /// Reads the cuts; the plan is locked meanwhile.
    pub fn read<T>(&self, read: impl FnOnce(&Cuts) -> T) -> T {
        read(&self.0.borrow().cuts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_media::hls::planner::Planner;
    use std::time::SystemTime;

    const TARGET: Duration = Duration::from_secs(2);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[tokio::test]
    async fn a_follower_waits_until_a_key_frame_is_decided() {
        let plan = SegmentPlan::default();
        let mut planner = Planner::new(TARGET, 7, 0);
        let waiting = plan.cut_at(1, ms(1000));
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        for at in [0, 1000, 2000] {
            plan.decided(1, ms(at), planner.at_key(1, ms(at), SystemTime::UNIX_EPOCH));
        }
        assert_eq!(waiting.await.map(|cut| cut.sequence), Some(8));
        assert_eq!(plan.cut_at(1, ms(2000)).await, None);
    }

    #[tokio::test]
    async fn a_source_that_is_made_anew_decides_anew() {
        let (plan, mut planner) = (SegmentPlan::default(), Planner::new(TARGET, 7, 0));
        let mut decide = |at| plan.decided(1, ms(at), planner.at_key(1, ms(at), SystemTime::UNIX_EPOCH));
        decide(0);
        decide(1000);
        let over = plan.over(plan.begun().await);
        tokio::pin!(over);
        assert!(futures_util::poll!(&mut over).is_pending());
        plan.begin_anew();
        over.await;
        assert_eq!(plan.read(|cuts| (cuts.current(1, ms(5000)), cuts.reached(1))), (None, None));
        // The same key frame, which a hub hands over again.
        let waiting = plan.cut_at(1, ms(1000));
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        planner.begin_anew();
        plan.decided(1, ms(1000), planner.at_key(1, ms(1000), SystemTime::UNIX_EPOCH));
        assert_eq!(waiting.await.map(|cut| cut.sequence), Some(9));
    }
}
