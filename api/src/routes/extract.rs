//! Arguments of operators' handlers: the API's handles, and the link that the path names.

use std::sync::Arc;

use rsm_viewing::handler_argument;
use rsm_viewing::http::extract::{BySlug, RequestPart, slug};
use rsm_viewing::http::problem::Problem;
use salvo::oapi::{Components, Operation};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

use crate::app::App;
use crate::directory::Entry;

/// Puts the API's handles into every request.
pub struct ProvideApp(pub Arc<App>);

#[async_trait]
impl Handler for ProvideApp {
    async fn handle(&self, _: &mut Request, depot: &mut Depot, _: &mut Response, _: &mut FlowCtrl) {
        depot.insert_typed(self.0.clone());
    }
}

/// The API's handles.
pub struct AppHandles(pub Arc<App>);

handler_argument!(AppHandles);

impl RequestPart for AppHandles {
    fn read(_: &Request, depot: &Depot) -> Result<Self, Problem> {
        depot.get_typed::<Arc<App>>().cloned().map(Self).map_err(|_| Problem::internal())
    }
}

/// The registered link whose slug stands in the path.
pub struct LinkBySlug(pub Arc<Entry>);

handler_argument!(LinkBySlug);

impl RequestPart for LinkBySlug {
    fn read(request: &Request, depot: &Depot) -> Result<Self, Problem> {
        let AppHandles(app) = AppHandles::read(request, depot)?;
        app.directory.by_slug(slug(request)).map(Self).ok_or_else(Problem::unknown_stream)
    }

    fn document(components: &mut Components, operation: &mut Operation) {
        BySlug::document(components, operation);
    }
}
