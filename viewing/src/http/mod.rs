//! HTTP as every request meets it, whichever route takes it: the server, the guard in front, the shape of errors, the
//! arguments of handlers.

pub mod compression;
pub mod extract;
pub mod label;
pub mod origin;
pub mod path_prefix;
pub mod problem;
pub mod query;
pub mod range;
pub mod representation;
pub mod request_guard;
pub mod request_trace;
pub mod route;
pub mod server;
pub mod upgrade;
