//! The table and its machine-readable twin.

use std::path::Path;

use serde_json::{Value, json};

use super::machine::machine;
use super::meter::{Window, median};

/// One side of one case: medians over its windows.
#[derive(Clone, Debug)]
pub struct Row {
    pub case: String,
    pub side: String,
    /// Cameras; 0 for a system at rest, whose figures are then its own and not for each camera.
    pub cameras: usize,
    pub windows: Vec<Window>,
    /// The delivered media, where the sides differ: pictures per second, likeness.
    pub delivered: Value,
}

impl Row {
    pub fn new(case: &str, side: &str, cameras: usize, windows: Vec<Window>) -> Self {
        Self { case: case.to_owned(), side: side.to_owned(), cameras, windows, delivered: Value::Null }
    }

    pub fn delivering(self, delivered: Value) -> Self {
        Self { delivered, ..self }
    }

    /// Median for each camera.
    fn each(&self, value: impl Fn(&Window) -> f64) -> f64 {
        median(self.windows.iter().map(value).collect()) / self.cameras.max(1) as f64
    }

    fn cpu(&self) -> f64 {
        self.each(|w| w.cpu_percent)
    }

    fn pss(&self) -> f64 {
        self.each(|w| w.pss_mb)
    }

    fn json(&self) -> Value {
        let roles = self.windows.first().into_iter().flat_map(|w| w.cpu_by_role.keys());
        let by_role: serde_json::Map<String, Value> = roles
            .map(|role| (role.clone(), self.each(|w| w.cpu_by_role.get(role).copied().unwrap_or(0.0)).into()))
            .collect();
        json!({
            "case": self.case,
            "side": self.side,
            "cameras": self.cameras,
            "cpu_percent_per_camera": self.cpu(),
            "cpu_percent_per_camera_by_role": by_role,
            "cpu_percent_of_windows": self.windows.iter().map(|w| w.cpu_percent).collect::<Vec<_>>(),
            "pss_mb_per_camera": self.pss(),
            "rss_mb_per_camera": self.each(|w| w.rss_mb),
            "threads_per_camera": self.each(|w| w.threads as f64),
            "delivered": self.delivered,
        })
    }
}

/// All rows so far.
#[derive(Default)]
pub struct CostReport {
    rows: Vec<Value>,
    comparisons: Vec<Value>,
    facts: Vec<Value>,
}

impl CostReport {
    pub fn head() {
        println!(
            "{:<34} {:<22} {:>9} {:>9} {:>9} {:>9}   delivered",
            "case", "side", "CPU %", "PSS MB", "RSS MB", "threads"
        );
    }

    /// Ours alone.
    pub fn alone(&mut self, row: &Row) {
        self.print(row);
    }

    /// Ours and another's, and how they relate.
    pub fn pair(&mut self, ours: &Row, theirs: &Row) {
        self.print(ours);
        self.print(theirs);
        let (cpu, pss) = (ours.cpu() / theirs.cpu(), ours.pss() / theirs.pss());
        // Pictures are left out where the machine is too busy: then only the cost of one can be compared.
        let each = |row: &Row| row.delivered["ms/picture"].as_f64();
        let picture = each(ours).zip(each(theirs)).map(|(ours, theirs)| ours / theirs);
        let text = picture.map(|ratio| format!("ms/picture {ratio:.2}")).unwrap_or_default();
        println!("{:<34} {:<22} {cpu:>9.2} {pss:>9.2} {:>9} {:>9}   {text}", "", "ratio", "", "");
        self.comparisons.push(json!({
            "case": ours.case,
            "ours": ours.side,
            "theirs": theirs.side,
            "cpu": cpu,
            "pss": pss,
            "cpu_of_a_picture": picture,
        }));
    }

    /// Something that is no cost.
    pub fn fact(&mut self, what: &str, seen: &str) {
        crate::table::line(what, seen, "");
        self.facts.push(json!({ "what": what, "seen": seen }));
    }

    fn print(&mut self, row: &Row) {
        let delivered = match &row.delivered {
            Value::Object(map) => {
                map.iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(", ")
            }
            _ => String::new(),
        };
        println!(
            "{:<34} {:<22} {:>9.3} {:>9.2} {:>9.2} {:>9.2}   {delivered}",
            row.case,
            row.side,
            row.cpu(),
            row.pss(),
            row.each(|w| w.rss_mb),
            row.each(|w| w.threads as f64),
        );
        self.rows.push(row.json());
    }

    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path, options: &Value) -> std::io::Result<()> {
        let document = json!({
            "machine": machine(),
            "options": options,
            "rows": self.rows,
            "ratios": self.comparisons,
            "facts": self.facts,
        });
        std::fs::write(path, format!("{document:#}\n"))
    }
}
