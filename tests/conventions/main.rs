//! Conventions of this project that can be measured on its sources. Each test prints the table that it judges;
//! `make words` shows the tables of words and of type names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails by a panic, and shows what it saw"
)]

mod circles;
mod dependencies;
mod documents;
mod imports;
mod modules;
mod sources;
mod tokens;
mod type_names;
mod words;
