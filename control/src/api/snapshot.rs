//! One stream as clients are shown it.

use rsm_model::stream::fence::Epoch;
use rsm_model::stream::names::SessionId;
use rsm_model::stream::slug::Slug;
use rsm_model::wire::messages::Event;

use super::intent::StreamIntent;
use super::placement::TrackedPlacement;
use super::roster::StreamOwner;
use super::suspects::HoldBack;
use super::workers::Workers;

/// One stream as the arbiter sees it.
pub struct StreamSnapshot<'a> {
    pub intent: &'a StreamIntent,
    pub wanted: bool,
    /// The owner whose media is shown.
    pub owner: Option<StreamOwner<'a>>,
    /// The last event of that owner.
    pub detail: Option<&'a Event>,
    /// Epoch of the newest placement.
    pub epoch: Option<Epoch>,
    /// The newest placement is a run that an earlier process made.
    pub adopted: bool,
    pub hold_back: Option<HoldBack>,
}

/// The owner whose media is shown: during a hand-off the earlier one.
pub fn shown_owner<'a>(slug: &Slug, tracked: &TrackedPlacement, workers: &'a Workers) -> Option<StreamOwner<'a>> {
    let owner = |session: &SessionId, epoch: Epoch| {
        let session = workers.roster().get(session)?;
        let owned = session.owned.get(slug).filter(|owned| owned.epoch == epoch)?;
        Some(StreamOwner { session, owned })
    };
    let earlier = tracked.earlier_owner().and_then(|from| owner(&from.session, from.epoch));
    earlier.or_else(|| owner(workers.owner(slug)?, tracked.assignment().epoch))
}
