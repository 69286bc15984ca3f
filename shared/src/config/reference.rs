//! The two files that show every key to users, as texts made from the table.

use std::fmt::Write as _;

use super::declare::Key;
use super::form::Form;
use super::table::SECTIONS;

/// Longest line of a comment in `config/default.toml`.
const LINE: usize = 118;

const TOML_HEAD: &str = "\
# Every setting of rsm with its default. This file is written from the table in shared/src/config/table.rs.
# Order of precedence: command line, environment (RSM__API__LISTEN for api.listen), --config FILE, these defaults.
# Lists in the environment and on the command line are separated by commas.
# `rsm config show` prints what is in force; `rsm config check` says what is wrong.
";

#[cfg(test)]
const PAGE_HEAD: &str = "\
# Configuration

Every key of `rsm`, with its default. This page and `config/default.toml` are written from the table in
`shared/src/config/table.rs`; after a change there, `RSM_WRITE_REFERENCE=1 cargo test -p rsm-shared reference` writes
both.

A value is taken from the first of these that has it:

1. the command line, such as `--listen` or `--data-dir` (`rsm <role> --help` lists the flags),
2. the environment: `RSM__API__LISTEN` for `api.listen`; `RSM_LOG` for `log.filter`,
3. the file named by `--config FILE`, in TOML,
4. the defaults below.

In the environment and on the command line, entries of a list are separated by commas. `rsm config show` prints the
configuration in force with secrets masked. `rsm config check` names the first invalid key and ends with status 64.
A key that is not listed here is an error.
";

/// The text of `config/default.toml`, which is also the lowest layer of the configuration.
pub(super) fn default_toml() -> String {
    let mut text = TOML_HEAD.to_owned();
    for section in SECTIONS {
        if !section.name.is_empty() {
            text.push('\n');
            comment(&mut text, section.doc.trim());
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "[{}]", section.name);
        } else {
            text.push('\n');
        }
        for key in section.keys {
            comment(&mut text, &sentences(key));
            let _ = writeln!(text, "{} = {}", key.short_name(), key.default);
        }
    }
    text
}

/// The text of `docs/configuration.md`.
#[cfg(test)]
fn page() -> String {
    let mut text = PAGE_HEAD.to_owned();
    for section in SECTIONS {
        if !section.name.is_empty() {
            let _ = write!(text, "\n## {}\n\n{}\n", section.name, section.doc.trim());
        }
        text.push_str("\n| Key | Default | Values | Meaning |\n|---|---|---|---|\n");
        for key in section.keys {
            let (values, doc) = (key.form.describe().replace('|', "\\|"), key.doc.trim().replace('|', "\\|"));
            let _ = writeln!(text, "| `{}` | `{}` | {values} | {doc} |", key.name, key.default);
        }
    }
    text
}

/// The doc comment, and valid values unless the type alone says them.
fn sentences(key: &Key) -> String {
    let doc = key.doc.trim();
    let values = key.form.describe();
    match key.form {
        Form::Switch | Form::Text { expected: "text", .. } => doc.to_owned(),
        _ => {
            let mut letters = values.chars();
            let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
            format!("{doc} {first}{}.", letters.as_str())
        }
    }
}

/// Appends `text` in comment lines of at most [`LINE`] characters.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > LINE {
            out.push_str(&line);
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Compares a file with the text made from the table, or writes it when `RSM_WRITE_REFERENCE` is set.
    fn compare(path: &str, want: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        if std::env::var_os("RSM_WRITE_REFERENCE").is_some() {
            std::fs::write(&file, want).unwrap();
        }
        let has = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            has == want,
            "{path} differs from shared/src/config/table.rs; write it anew with: \
             RSM_WRITE_REFERENCE=1 cargo test -p rsm-shared reference"
        );
    }

    #[test]
    fn the_default_file_is_that_of_the_table() {
        compare("config/default.toml", &default_toml());
    }

    #[test]
    fn the_reference_page_is_that_of_the_table() {
        compare("docs/configuration.md", &page());
    }

    #[test]
    fn every_key_has_a_sentence() {
        for key in SECTIONS.iter().flat_map(|section| section.keys) {
            assert!(key.doc.trim().ends_with('.'), "{} has {:?}", key.name, key.doc);
        }
    }
}
