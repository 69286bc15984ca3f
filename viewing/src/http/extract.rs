//! Arguments of handlers: the handles that serve viewers, and the stream that the path names.

use std::sync::Arc;

use salvo::oapi::{
    BasicType, Components, EndpointOutRegister, Object, Operation, Parameter, ParameterIn, ToResponses as _,
};
use salvo::{Depot, Request, Response, Writer, async_trait};

use super::problem::{Problem, UnknownStream};
use crate::streams::Stream;
use crate::viewing::Viewing;

/// Result of a handler that wrote its answer itself.
pub type RouteResult = Result<Written, Problem>;

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

/// A part of a request that a handler takes as an argument, once [`crate::handler_argument`] has made it one.
pub trait RequestPart: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// The problem that the client is answered instead.
    fn read(request: &Request, depot: &Depot) -> Result<Self, Problem>;

    /// Adds its parameters, and the problems that reading it leads to, to the documentation of an endpoint.
    fn document(_: &mut Components, _: &mut Operation) {}
}

/// Makes a [`RequestPart`] an argument of handlers.
#[macro_export]
macro_rules! handler_argument {
    ($type:ty) => {
        impl<'ex> ::salvo::extract::Extractible<'ex> for $type {
            fn metadata() -> &'static ::salvo::extract::Metadata {
                static NONE: ::std::sync::LazyLock<::salvo::extract::Metadata> =
                    ::std::sync::LazyLock::new(|| ::salvo::extract::Metadata::new(""));
                &NONE
            }

            async fn extract(
                request: &'ex mut ::salvo::Request,
                depot: &'ex mut ::salvo::Depot,
            ) -> Result<Self, impl ::salvo::Writer + Send + ::std::fmt::Debug + 'static> {
                <Self as $crate::http::extract::RequestPart>::read(request, depot)
            }
        }

        impl ::salvo::oapi::EndpointArgRegister for $type {
            fn register(components: &mut ::salvo::oapi::Components, operation: &mut ::salvo::oapi::Operation, _: &str) {
                <Self as $crate::http::extract::RequestPart>::document(components, operation);
            }
        }
    };
}

/// The handles that serve viewers.
pub struct Handles(pub Arc<Viewing>);

handler_argument!(Handles);

impl RequestPart for Handles {
    fn read(_: &Request, depot: &Depot) -> Result<Self, Problem> {
        depot.get_typed::<Arc<Viewing>>().cloned().map(Self).map_err(|_| Problem::internal())
    }
}

/// The stream whose slug stands in the path.
pub struct BySlug(pub Arc<Stream>);

handler_argument!(BySlug);

impl RequestPart for BySlug {
    fn read(request: &Request, depot: &Depot) -> Result<Self, Problem> {
        let Handles(viewing) = Handles::read(request, depot)?;
        viewing.streams.by_slug(slug(request)).map(Self).ok_or_else(Problem::unknown_stream)
    }

    fn document(components: &mut Components, operation: &mut Operation) {
        let schema = Object::with_type(BasicType::String).pattern("^[a-z0-9][a-z0-9-]{0,62}$");
        path_parameter(operation, "slug", "The camera's name in addresses, as POST /video/ answered it", schema);
        operation.responses.append(&mut UnknownStream::to_responses(components));
    }
}

/// The slug that the path names; empty when it names none.
pub fn slug(request: &Request) -> &str {
    request.params().get("slug").map(String::as_str).unwrap_or_default()
}

/// The stream whose id stands in the path.
pub struct ById(pub Arc<Stream>);

handler_argument!(ById);

impl RequestPart for ById {
    fn read(request: &Request, depot: &Depot) -> Result<Self, Problem> {
        let Handles(viewing) = Handles::read(request, depot)?;
        let id = request.params().get("id").and_then(|text| text.parse().ok());
        id.and_then(|id| viewing.streams.by_id(id)).map(Self).ok_or_else(Problem::unknown_stream)
    }

    fn document(components: &mut Components, operation: &mut Operation) {
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
