//! Routes for operators: one file per resource, one table that lists them all.

pub mod body;
pub mod camera_csv;
pub mod change;
pub mod extract;
pub mod fields;
pub mod import;
pub mod links;
pub mod probe;
pub mod settings;
pub mod store_problem;
pub mod table;
pub mod targets;

#[cfg(test)]
mod tests;
