//! The effective configuration as a person reads it.

use std::fmt::Write as _;

use super::table::{Config, SECTIONS};

impl Config {
    /// The effective configuration as TOML, with secrets masked.
    pub fn show(&self) -> String {
        let mut settings = self.settings().into_iter();
        let mut text = String::new();
        for section in SECTIONS {
            // Writing to a `String` cannot fail.
            if !section.name.is_empty() {
                let _ = writeln!(text, "\n[{}]", section.name);
            }
            for (key, setting) in section.keys.iter().zip(settings.by_ref()) {
                let _ = writeln!(text, "{} = {}", key.short_name(), setting.toml());
            }
        }
        text
    }
}
