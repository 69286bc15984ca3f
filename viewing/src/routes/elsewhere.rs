//! A relay's answer to changes: they go to the API.

use salvo::http::header::ALLOW;
use salvo::http::{HeaderValue, StatusCode};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

use crate::http::problem::Problem;

/// At addresses that can be read here.
pub const READ_ONLY: Elsewhere = Elsewhere("GET, HEAD");
/// At addresses that are for changes only.
pub const NOTHING: Elsewhere = Elsewhere("");

/// 405; inside, the methods that are taken.
pub struct Elsewhere(&'static str);

#[async_trait]
impl Handler for Elsewhere {
    async fn handle(&self, _: &mut Request, _: &mut Depot, response: &mut Response, ctrl: &mut FlowCtrl) {
        let sentence = "this is a relay, it serves viewers only; send changes to the API";
        response.render(Problem::new(StatusCode::METHOD_NOT_ALLOWED, sentence));
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(self.0));
        ctrl.skip_rest();
    }
}
