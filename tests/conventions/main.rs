//! Conventions of this project that can be measured on its sources. Each test prints the table that it judges;
//! `make words` shows the tables of words and of type names.

mod circles;
mod dependencies;
mod documents;
mod imports;
mod modules;
mod sources;
mod tokens;
mod type_names;
mod words;
