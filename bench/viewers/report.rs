//! The table of figures beside their aims, and its machine-readable twin.

use std::path::Path;

use serde_json::{Value, json};

/// The aim of a figure.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    AtLeast(f64),
    AtMost(f64),
    Nothing,
}

#[derive(Clone, Debug)]
struct Row {
    case: String,
    what: String,
    seen: f64,
    unit: &'static str,
    aim: Aim,
}

/// All figures so far.
#[derive(Default)]
pub struct ViewersReport {
    rows: Vec<Row>,
    /// All observations of each case.
    details: Vec<Value>,
}

impl ViewersReport {
    /// One figure.
    pub fn figure(&mut self, case: &str, what: &str, seen: f64, unit: &'static str, aim: Aim) {
        let row = Row { case: case.to_owned(), what: what.to_owned(), seen, unit, aim };
        println!("{row}");
        self.rows.push(row);
    }

    /// The three figures of a spread in milliseconds, the aim at one of them.
    pub fn spread(&mut self, case: &str, what: &str, spread: &Value, at: &str, aim: Aim) {
        for key in ["p50", "p99", "max"] {
            let aim = if key == at { aim } else { Aim::Nothing };
            self.figure(case, &format!("{what}, {key}"), number(&spread[key]), "ms", aim);
        }
    }

    /// Text that is shown, and kept with the figures.
    pub fn note(&mut self, case: &str, text: &str) {
        println!("{case:<10} {text}");
        self.details.push(json!({ "case": case, "note": text }));
    }

    /// Kept with the figures, not shown.
    pub fn detail(&mut self, case: &str, what: &str, seen: &Value) {
        self.details.push(json!({ "case": case, "what": what, "seen": seen }));
    }

    /// Everything with an aim once more, and how many miss theirs.
    pub fn summary(&self) {
        println!("\nWhat is aimed at:");
        let aimed: Vec<&Row> = self.rows.iter().filter(|row| !matches!(row.aim, Aim::Nothing)).collect();
        for row in &aimed {
            println!("{row}");
        }
        let missed = aimed.iter().filter(|row| !row.met()).count();
        println!("{missed} of {} miss their aim", aimed.len());
    }

    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path, machine: &Value, options: &Value) -> std::io::Result<()> {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        let document = json!({ "machine": machine, "options": options, "figures": rows, "details": self.details });
        std::fs::write(path, format!("{document:#}\n"))
    }
}

/// Not a number when it is none.
pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

impl Row {
    /// A figure that is missing meets no aim.
    fn met(&self) -> bool {
        match self.aim {
            Aim::AtLeast(bound) => self.seen >= bound,
            Aim::AtMost(bound) => self.seen <= bound,
            Aim::Nothing => true,
        }
    }

    fn verdict(&self) -> String {
        match self.aim {
            Aim::Nothing => String::new(),
            _ if self.met() => "met".to_owned(),
            Aim::AtLeast(bound) | Aim::AtMost(bound) if bound != 0.0 && self.seen.is_finite() => {
                format!("misses by {:.0} %", ((self.seen - bound) / bound * 100.0).abs())
            }
            _ => "misses".to_owned(),
        }
    }

    fn json(&self) -> Value {
        let (least, most) = match self.aim {
            Aim::AtLeast(bound) => (Some(bound), None),
            Aim::AtMost(bound) => (None, Some(bound)),
            Aim::Nothing => (None, None),
        };
        json!({ "case": self.case, "what": self.what, "seen": self.seen, "unit": self.unit, "at_least": least,
            "at_most": most, "verdict": self.verdict() })
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let aim = match self.aim {
            Aim::AtLeast(bound) => format!(">= {bound}"),
            Aim::AtMost(bound) => format!("<= {bound}"),
            Aim::Nothing => String::new(),
        };
        let seen = if self.seen.fract() == 0.0 { format!("{:.0}", self.seen) } else { format!("{:.2}", self.seen) };
        write!(f, "{:<10} {:<52} {:>12} {:<9} {:<9} {}", self.case, self.what, seen, self.unit, aim, self.verdict())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_whether_a_figure_meets_its_aim_and_by_how_much_not() {
        for (seen, aim, verdict) in [
            (0.9, Aim::AtLeast(0.85), "met"),
            (0.68, Aim::AtLeast(0.85), "misses by 20 %"),
            (64.0, Aim::AtMost(64.0), "met"),
            (96.0, Aim::AtMost(64.0), "misses by 50 %"),
            (1.0, Aim::AtMost(0.0), "misses"),
            (f64::NAN, Aim::AtMost(64.0), "misses"),
            (5.0, Aim::Nothing, ""),
        ] {
            let row = Row { case: String::new(), what: String::new(), seen, unit: "", aim };
            assert_eq!(row.verdict(), verdict, "{seen} {aim:?}");
        }
    }
}
