//! Lists of cameras as spreadsheets write and read them (RFC 4180). Pure.

use csv::{ReaderBuilder, StringRecord, Writer};
use rsm_viewing::http::problem::Problem;
use salvo::http::StatusCode;
use serde_json::{Map, Value};

use crate::store::links::CameraLink;

/// Lines of one list, its header not counted.
pub const MAX_LINES: usize = 5000;
/// Columns of a list; other settings are set one by one.
const COLUMNS: [&str; 9] =
    ["url", "name", "username", "password", "zone", "transport", "always_on", "tls_insecure", "exclusive"];
/// Columns of a list without a header.
const WITHOUT_HEADER: [&str; 2] = ["url", "name"];
/// Signs with which a spreadsheet begins a formula.
const FORMULA: [char; 4] = ['=', '+', '-', '@'];

/// One camera of a list.
#[derive(Debug, PartialEq)]
pub struct CsvLine {
    /// Where it stands, from 1.
    pub number: u64,
    /// As the body of `POST /video/` would say it; an error when the line fits no header.
    pub members: Result<Map<String, Value>, String>,
}

/// Reads a list. Empty lines are passed over.
///
/// # Errors
/// 400 when it is no UTF-8, 413 when it has more than [`MAX_LINES`] lines, 422 for a header with an unknown column.
pub fn read(list: &[u8]) -> Result<Vec<CsvLine>, Problem> {
    let text = std::str::from_utf8(list).map_err(|e| {
        let line = list[..e.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Problem::bad_request(format!("line {line} is not UTF-8; save the list as \"CSV UTF-8\""))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (separator, columns, has_header) = header(text)?;
    let mut reader =
        ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut counted = Counted { text: text.as_bytes(), at: 0, line: 1 };
    let mut lines = Vec::new();
    for (at, record) in reader.records().enumerate() {
        // Never: it is read from memory, and was UTF-8.
        let record = record.map_err(|_| Problem::bad_request("the list is not CSV"))?;
        if (has_header && at == 0) || record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if lines.len() == MAX_LINES {
            let sentence = format!("the list has more than {MAX_LINES} lines");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, sentence));
        }
        let begins = record.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(usize::MAX));
        lines.push(CsvLine { number: counted.until(begins), members: members(&columns, &record) });
    }
    Ok(lines)
}

/// Lines as an editor counts them: the reader counts line ends and empty lines as the beginning of the next line.
struct Counted<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl Counted<'_> {
    /// Number of the line of the first sign from `begins` on that ends no line.
    fn until(&mut self, begins: usize) -> u64 {
        while let Some(byte) = self.text.get(self.at)
            && (self.at < begins || matches!(byte, b'\r' | b'\n'))
        {
            self.line += u64::from(*byte == b'\n');
            self.at += 1;
        }
        self.line
    }
}

/// Separator and columns, and true when a header named them: a header has a column `url`.
fn header(text: &str) -> Result<(u8, Vec<&'static str>, bool), Problem> {
    for separator in [b',', b';', b'\t'] {
        let mut reader = ReaderBuilder::new().delimiter(separator).has_headers(false).from_reader(text.as_bytes());
        let first = reader.records().next().and_then(Result::ok).unwrap_or_default();
        let names: Vec<String> = first.iter().map(|cell| cell.trim().to_ascii_lowercase()).collect();
        if names.iter().any(|name| name == COLUMNS[0]) {
            return Ok((separator, columns(&names)?, true));
        }
    }
    Ok((b',', WITHOUT_HEADER.to_vec(), false))
}

fn columns(names: &[String]) -> Result<Vec<&'static str>, Problem> {
    let mut columns: Vec<&'static str> = Vec::new();
    for name in names {
        let column = COLUMNS.into_iter().find(|column| column == name).ok_or_else(|| {
            let sentence = format!("the header names what is not known; a list may have {}", COLUMNS.join(", "));
            // An address may hold a password, and then this is no header.
            let is_name = name.len() <= 64 && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '));
            Problem::invalid(if is_name { name.as_str() } else { "header" }, sentence)
        })?;
        if columns.contains(&column) {
            return Err(Problem::invalid(column, format!("the header names {column} twice")));
        }
        columns.push(column);
    }
    Ok(columns)
}

fn members(columns: &[&str], record: &StringRecord) -> Result<Map<String, Value>, String> {
    if record.iter().skip(columns.len()).any(|cell| !cell.trim().is_empty()) {
        return Err(format!("it has {} cells, and there are {} columns", record.len(), columns.len()));
    }
    let cells = columns.iter().zip(record).filter(|(_, cell)| !cell.trim().is_empty());
    Ok(cells.map(|(column, cell)| ((*column).to_owned(), value(column, cell))).collect())
}

/// A cell as JSON; a cell that is no word of a flag stays text, and the check of settings refuses it.
fn value(column: &str, cell: &str) -> Value {
    match column {
        // As it is: every sign may be meant.
        "password" => cell.into(),
        "username" => unguarded(cell).into(),
        "always_on" | "tls_insecure" | "exclusive" => match cell.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => true.into(),
            "false" | "no" | "0" => false.into(),
            other => other.into(),
        },
        "transport" => cell.trim().to_ascii_lowercase().into(),
        _ => unguarded(cell.trim()).into(),
    }
}

/// Writes a list that [`read`] takes. No password is in it.
pub fn write<'a>(links: impl Iterator<Item = &'a CameraLink>) -> Vec<u8> {
    let mut list = Writer::from_writer(Vec::new());
    // Nothing fails: it is written to memory, and every line has the same columns.
    let _ = list.write_record(COLUMNS);
    for link in links {
        let transport = serde_json::to_value(link.transport).ok();
        let flag = |is: bool| if is { "true" } else { "false" }.to_owned();
        let _ = list.write_record([
            link.url.to_string(),
            guarded(&link.name),
            guarded(link.username.as_deref().unwrap_or_default()),
            String::new(),
            guarded(link.zone.as_str()),
            transport.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
            flag(link.always_on),
            flag(link.tls_insecure),
            flag(link.exclusive),
        ]);
    }
    list.into_inner().unwrap_or_default()
}

/// The text with a quote in front, if a spreadsheet would calculate it, or if it begins with such a quote itself.
fn guarded(text: &str) -> String {
    if is_formula(text) { format!("'{text}") } else { text.to_owned() }
}

fn unguarded(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| is_formula(rest)).unwrap_or(cell)
}

fn is_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(FORMULA)
}

#[cfg(test)]
#[path = "camera_csv_tests.rs"]
mod tests;
