//! A table of routes. The router, the documentation, the 405 of other methods and the label of the request metrics come
//! from it.

use std::sync::Arc;

use salvo::http::Method;
use salvo::routing::filters;
use salvo::{Handler, Router};

use super::label::Label;

/// A path and its handlers, by method.
pub struct Route {
    pub path: &'static str,
    pub methods: Vec<(Method, Arc<dyn Handler>)>,
}

impl Route {
    /// A path where nothing answers yet.
    pub fn at(path: &'static str) -> Self {
        Self { path, methods: Vec::new() }
    }

    /// With `handler` for one more method.
    #[must_use]
    pub fn on(mut self, method: Method, handler: impl Handler) -> Self {
        self.methods.push((method, Arc::new(handler)));
        self
    }
}

/// The table as salvo routes it. `head`: whether HEAD is answered wherever GET is, which goes without saying in the
/// documentation.
pub fn router(routes: &[Route], head: bool) -> Router {
    routes.iter().fold(Router::new(), |all, route| {
        let mut here = Router::with_path(route.path).hoop(Label(route.path));
        for (method, handler) in &route.methods {
            if head && *method == Method::GET {
                here = here.push(answered(filters::head(), handler.clone()));
            }
            here = here.push(answered(filters::MethodFilter(method.clone()), handler.clone()));
        }
        all.push(here)
    })
}

fn answered(filter: filters::MethodFilter, handler: Arc<dyn Handler>) -> Router {
    let mut router = Router::with_filter(filter);
    router.goal = Some(handler);
    router
}
