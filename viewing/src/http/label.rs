//! Which route took a request: the pattern of its path, for metrics and traces.

use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

/// The label of requests that no route took.
const NO_ROUTE: &str = "none";

/// Notes its pattern for every request that the route takes.
pub struct Label(pub &'static str);

struct TakenRoute(&'static str);

impl Label {
    /// The pattern that was noted for the request of `depot`.
    pub fn of(depot: &Depot) -> &'static str {
        depot.get_typed::<TakenRoute>().map_or(NO_ROUTE, |taken| taken.0)
    }
}

#[async_trait]
impl Handler for Label {
    async fn handle(&self, _: &mut Request, depot: &mut Depot, _: &mut Response, _: &mut FlowCtrl) {
        depot.insert_typed(TakenRoute(self.0));
    }
}
