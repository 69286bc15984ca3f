//! Results of the checks, for people and for programs.

use std::io::IsTerminal as _;

use serde::Serialize;

use crate::output;

/// Result of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    /// It works, and there is something to know or to do.
    Warning,
    /// It does not work.
    Failure,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// A name of a closed set; docs/console.md lists them.
    pub check: &'static str,
    pub status: Status,
    pub found: String,
    /// The remedy: a package to install or a setting to change; empty when all is well.
    pub advice: String,
}

impl Check {
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, found: found.into(), advice: String::new() }
    }

    pub fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, status: Status::Warning, found: found.into(), advice: advice.into() }
    }

    pub fn failure(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, status: Status::Failure, found: found.into(), advice: advice.into() }
    }
}

/// The results of all checks.
#[derive(Debug)]
pub struct Report {
    pub checks: Vec<Check>,
}

impl Report {
    /// True when nothing has to be repaired.
    pub fn is_ok(&self) -> bool {
        self.checks.iter().all(|check| check.status != Status::Failure)
    }

    /// Prints to stdout; the reader may be gone.
    ///
    /// # Errors
    /// One line when it cannot be written.
    pub fn print(&self, json: bool) -> Result<(), String> {
        let colours =
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let text = if json { self.json() } else { self.text(colours) };
        output::print(text.as_bytes())
    }

    fn json(&self) -> String {
        let report = serde_json::json!({ "ok": self.is_ok(), "checks": self.checks });
        format!("{report:#}\n")
    }

    fn text(&self, colours: bool) -> String {
        let width = self.checks.iter().map(|check| check.check.len()).max().unwrap_or(0);
        let mut text = String::new();
        for Check { check, status, found, advice } in &self.checks {
            let (word, colour) = match status {
                Status::Ok => ("ok", "32"),
                Status::Warning => ("warning", "33"),
                Status::Failure => ("failure", "31"),
            };
            let word = format!("{word:<7}");
            let word = if colours { format!("\u{1b}[{colour}m{word}\u{1b}[0m") } else { word };
            let advice = if advice.is_empty() { String::new() } else { format!("; {advice}") };
            text += &format!("{word}  {check:<width$}  {}{}\n", plain(found), plain(&advice));
        }
        let of = |status| self.checks.iter().filter(|check| check.status == status).count();
        match (of(Status::Failure), of(Status::Warning)) {
            (0, 0) => text += "All is well.\n",
            (failures, warnings) => {
                text += &format!("{}, {}\n", plural(failures, "failure"), plural(warnings, "warning"))
            }
        }
        text
    }
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Removes characters that would break a line or a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let checks = vec![
            Check::ok("clock", "in time"),
            Check::warning("nats_version", "2.9.9\u{1b}[2J", "install another"),
            Check::failure("port", "in use\nby others", "take another"),
        ];
        Report { checks }
    }

    #[test]
    fn a_line_for_each_check_aligned_and_without_what_a_terminal_would_obey() {
        assert_eq!(
            report().text(false),
            "ok       clock         in time\n\
             warning  nats_version  2.9.9 [2J; install another\n\
             failure  port          in use by others; take another\n\
             1 failure, 1 warning\n"
        );
        let coloured = report().text(true);
        assert!(coloured.contains("\u{1b}[31mfailure\u{1b}[0m  port ") && coloured.lines().count() == 4, "{coloured}");
    }

    #[test]
    fn programs_read_the_same() {
        let json: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(
            json["checks"][2],
            serde_json::json!({"check": "port", "status": "failure", "found": "in use\nby others", "advice": "take another"})
        );
        let fine = Report { checks: report().checks[..2].to_vec() };
        assert!(fine.is_ok(), "warnings are no failures");
    }
}
