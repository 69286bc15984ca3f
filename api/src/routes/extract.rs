//! What handlers ask of a request: the program's handles, and the stream that the path names.

use std::fmt::Debug;
use std::sync::{Arc, LazyLock};

use salvo::extract::{Extractible, Metadata};
use salvo::oapi::{
    BasicType, Components, EndpointArgRegister, EndpointOutRegister, Object, Operation, Parameter, ParameterIn,
    ToResponses as _,
};
use salvo::{Depot, Request, Response, Writer, async_trait};

use crate::app::{App, Viewing};
use crate::directory::Entry;
use crate::problem::{Problem, UnknownStream};
use crate::streams::Stream;

static NO_METADATA: LazyLock<Metadata> = LazyLock::new(|| Metadata::new(""));

/// What a handler returns when it wrote its answer itself.
pub type Answer = Result<Written, Problem>;

/// The answer is in the response; its documentation stands at the endpoint.
#[derive(Debug)]
pub struct Written;

#[async_trait]
impl Writer for Written {
    async fn write(self, _: &mut Request, _: &mut Depot, _: &mut Response) {}
}

impl EndpointOutRegister for Written {
    fn register(_: &mut Components, _: &mut Operation) {}
}

/// The handles of both roles.
pub struct Handles(pub Arc<Viewing>);

impl<'ex> Extractible<'ex> for Handles {
    fn metadata() -> &'static Metadata {
        &NO_METADATA
    }

    async fn extract(_: &'ex mut Request, depot: &'ex mut Depot) -> Result<Self, impl Writer + Send + Debug + 'static> {
        handles(depot).map(Self)
    }
}

impl EndpointArgRegister for Handles {
    fn register(_: &mut Components, _: &mut Operation, _: &str) {}
}

fn handles(depot: &Depot) -> Result<Arc<Viewing>, Problem> {
    depot.get_typed::<Arc<Viewing>>().cloned().map_err(|_| Problem::internal())
}

/// The API's handles, for what a relay does not do.
pub struct Operating(pub Arc<App>);

impl<'ex> Extractible<'ex> for Operating {
    fn metadata() -> &'static Metadata {
        &NO_METADATA
    }

    async fn extract(_: &'ex mut Request, depot: &'ex mut Depot) -> Result<Self, impl Writer + Send + Debug + 'static> {
        operating(depot).map(Self)
    }
}

impl EndpointArgRegister for Operating {
    fn register(_: &mut Components, _: &mut Operation, _: &str) {}
}

fn operating(depot: &Depot) -> Result<Arc<App>, Problem> {
    depot.get_typed::<Arc<App>>().cloned().map_err(|_| Problem::internal())
}

/// The handles of this process, whichever role it has.
pub struct EitherRole {
    pub viewing: Arc<Viewing>,
    /// Not in a relay.
    pub app: Option<Arc<App>>,
}

impl<'ex> Extractible<'ex> for EitherRole {
    fn metadata() -> &'static Metadata {
        &NO_METADATA
    }

    async fn extract(_: &'ex mut Request, depot: &'ex mut Depot) -> Result<Self, impl Writer + Send + Debug + 'static> {
        let app = depot.get_typed::<Arc<App>>().cloned().ok();
        handles(depot).map(|viewing| Self { viewing, app })
    }
}

impl EndpointArgRegister for EitherRole {
    fn register(_: &mut Components, _: &mut Operation, _: &str) {}
}

/// The registered link whose slug stands in the path.
pub struct LinkBySlug(pub Arc<Entry>);

impl<'ex> Extractible<'ex> for LinkBySlug {
    fn metadata() -> &'static Metadata {
        &NO_METADATA
    }

    async fn extract(
        request: &'ex mut Request,
        depot: &'ex mut Depot,
    ) -> Result<Self, impl Writer + Send + Debug + 'static> {
        let app = operating(depot)?;
        app.directory.by_slug(slug(request)).map(Self).ok_or_else(Problem::unknown_stream)
    }
}

impl EndpointArgRegister for LinkBySlug {
    fn register(components: &mut Components, operation: &mut Operation, name: &str) {
        BySlug::register(components, operation, name);
    }
}

fn slug(request: &Request) -> &str {
    request.params().get("slug").map(String::as_str).unwrap_or_default()
}

/// The stream whose slug stands in the path.
pub struct BySlug(pub Arc<Stream>);

impl<'ex> Extractible<'ex> for BySlug {
    fn metadata() -> &'static Metadata {
        &NO_METADATA
    }

    async fn extract(
        request: &'ex mut Request,
        depot: &'ex mut Depot,
    ) -> Result<Self, impl Writer + Send + Debug + 'static> {
        let app = handles(depot)?;
        app.streams.by_slug(slug(request)).map(Self).ok_or_else(Problem::unknown_stream)
    }
}

impl EndpointArgRegister for BySlug {
    fn register(components: &mut Components, operation: &mut Operation, _: &str) {
        let schema = Object::with_type(BasicType::String).pattern("^[a-z0-9][a-z0-9-]{0,62}$");
        path_parameter(operation, "slug", "The camera's name in addresses, as POST /video/ answered it", schema);
        operation.responses.append(&mut UnknownStream::to_responses(components));
    }
}

/// The stream whose id stands in the path.
pub struct ById(pub Arc<Stream>);

impl<'ex> Extractible<'ex> for ById {
    fn metadata() -> &'static Metadata {
        &NO_METADATA
    }

    async fn extract(
        request: &'ex mut Request,
        depot: &'ex mut Depot,
    ) -> Result<Self, impl Writer + Send + Debug + 'static> {
        let app = handles(depot)?;
        let id = request.params().get("id").and_then(|text| text.parse().ok());
        id.and_then(|id| app.streams.by_id(id)).map(Self).ok_or_else(Problem::unknown_stream)
    }
}

impl EndpointArgRegister for ById {
    fn register(components: &mut Components, operation: &mut Operation, _: &str) {
        let schema = Object::with_type(BasicType::Integer).minimum(1.0);
        path_parameter(operation, "id", "The camera's id", schema);
        operation.responses.append(&mut UnknownStream::to_responses(components));
    }
}

fn path_parameter(operation: &mut Operation, name: &str, description: &str, schema: Object) {
    let parameter =
        Parameter::new(name).location(ParameterIn::Path).required(true).description(description).schema(schema);
    operation.parameters.insert(parameter);
}
