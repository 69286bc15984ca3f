//! Cameras from a list, and a list of cameras.

use std::collections::{HashMap, HashSet};

use rsm_shared::stream::camera_link::CameraUrl;
use rsm_shared::stream::names::Zone;
use rsm_viewing::http::extract::{RouteResult, Written};
use rsm_viewing::http::problem::{ListProblems, Problem, Refusable, StoreProblems};
use rsm_viewing::http::query;
use salvo::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use salvo::http::{HeaderValue, StatusCode};
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::Json;
use salvo::{Request, Response, Writer as _};
use serde::Serialize;
use serde_json::{Map, Value};

use super::camera_csv::{self, CsvLine};
use super::extract::AppHandles;
use super::settings::NewLink;
use super::{body, change, settings};
use crate::app::App;
use crate::store::StoreError;
use crate::store::links::{LinkSettings, MAX_ZONES};

/// Longest list, bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Result of an import.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(name = "Imported"))]
pub struct Imported {
    /// True when it was only tried.
    dry_run: bool,
    rows: Vec<ImportedRow>,
    /// Lines that can be registered.
    valid: usize,
    invalid: usize,
    /// Cameras that were registered.
    created: usize,
}

/// Result of one line.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(name = "ImportedLine"))]
struct ImportedRow {
    /// Where it stands, from 1.
    line: u64,
    ok: bool,
    name: Option<String>,
    /// The address; a password is shown as `***`. `null` when it is not one.
    url: Option<String>,
    /// Its name in addresses, once it is registered.
    slug: Option<String>,
    error: Option<ImportedRowError>,
    /// A remark that need not be a mistake.
    warning: Option<String>,
}

/// Why a line cannot be registered.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(name = "ImportError"))]
struct ImportedRowError {
    /// The column that is wrong.
    field: Option<String>,
    text: String,
}

/// Register a list of cameras
///
/// CSV with a header line: `url`, and any of `name`, `username`, `password`, `zone`, `transport`, `always_on`,
/// `tls_insecure` and `exclusive`, separated by commas, semicolons or tabs. Without a header line the first
/// column is the address and the second the name. All lines are registered, or none: a line with a mistake is answered
/// with 422 and the same body. 1 MiB and 5000 lines at most.
#[endpoint(
    operation_id = "import_cameras",
    tags("cameras"),
    parameters(
        ("dry_run" = Option<u8>, Query, minimum = 0, maximum = 1, description = "1 to try only; then mistakes are no error"),
        ("skip_invalid" = Option<u8>, Query, minimum = 0, maximum = 1,
            description = "1 to register what can be registered"),
    ),
    request_body(content = String, content_type = "text/csv", description = "The list, UTF-8"),
    responses(
        (status_code = 200, description = "What became of each line", body = Imported),
        ListProblems,
        Refusable,
        StoreProblems
    )
)]
pub async fn import(request: &mut Request, app: AppHandles, response: &mut Response) -> RouteResult {
    let (dry_run, skip_invalid) = (query::flag(request, "dry_run")?, query::flag(request, "skip_invalid")?);
    let list = body::csv(request, MAX_BYTES).await?;
    let lines = camera_csv::read(&list)?;
    let app = app.0;
    let (mut rows, new) = check(&app, lines);
    let (valid, invalid) = (new.len(), rows.len() - new.len());
    let mut created = 0;
    if !dry_run && (invalid == 0 || skip_invalid) {
        let links = change::add_many(&app, new).await?;
        created = links.len();
        for (row, link) in rows.iter_mut().filter(|row| row.ok).zip(&links) {
            row.slug = Some(link.slug.to_string());
        }
    } else if !dry_run {
        response.status_code(StatusCode::UNPROCESSABLE_ENTITY);
    }
    response.render(Json(Imported { dry_run, rows, valid, invalid, created }));
    Ok(Written)
}

/// The list of cameras
///
/// As `POST /video/import` takes it, without passwords.
#[endpoint(
    operation_id = "export_cameras",
    tags("cameras"),
    responses((status_code = 200, description = "The list", body = String, content_type = "text/csv"))
)]
pub async fn export(app: AppHandles, response: &mut Response) -> RouteResult {
    let links: Vec<_> = app.0.directory.all().iter().map(|entry| entry.link()).collect();
    for (name, value) in [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"cameras.csv\""),
        (CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.body(camera_csv::write(links.iter().map(AsRef::as_ref)));
    Ok(Written)
}

/// Limits and addresses before a list, and after each of its lines.
struct ImportState {
    /// Cameras that there may be beside these.
    room: u64,
    zones: HashSet<Zone>,
    /// The camera or line that has an address.
    urls: HashMap<String, String>,
}

impl ImportState {
    fn of(app: &App) -> Self {
        let entries = app.directory.all();
        let links: Vec<_> = entries.iter().map(|entry| entry.link()).collect();
        Self {
            room: app.viewing.config.api.max_links.saturating_sub(u64::try_from(links.len()).unwrap_or(u64::MAX)),
            zones: links.iter().map(|link| link.zone.clone()).collect(),
            urls: links.iter().map(|link| (link.url.to_string(), format!("camera {}", link.slug))).collect(),
        }
    }

    /// Takes one more; a warning, if there is something to say.
    fn take(&mut self, line: u64, settings: &LinkSettings) -> Result<Option<String>, Problem> {
        if self.room == 0 {
            return Err(StoreError::Full.into());
        }
        if self.zones.len() >= MAX_ZONES && !self.zones.contains(&settings.zone) {
            return Err(StoreError::TooManyZones.into());
        }
        self.room -= 1;
        self.zones.insert(settings.zone.clone());
        let url = settings.url.to_string();
        let warning = self.urls.get(&url).map(|other| format!("it has the same address as {other}"));
        self.urls.entry(url).or_insert_with(|| format!("line {line}"));
        Ok(warning)
    }
}

/// The result of every line, and the settings of the valid ones, in their order.
fn check(app: &App, lines: Vec<CsvLine>) -> (Vec<ImportedRow>, Vec<(String, LinkSettings)>) {
    let mut known = ImportState::of(app);
    let mut new = Vec::new();
    let rows = lines
        .into_iter()
        .map(|CsvLine { number, members }| {
            let members = match members {
                Ok(members) => members,
                Err(text) => return row(number, None, Err(ImportedRowError { field: None, text })),
            };
            let name = members.get("name").and_then(Value::as_str).map(str::to_owned);
            let url = masked(&members);
            match create(members) {
                Ok(NewLink { settings, slug_label }) => {
                    let shown = settings.url.masked(settings.username.as_deref(), settings.password.is_some());
                    let taken = known.take(number, &settings).map_err(ImportedRowError::from);
                    let well = taken.is_ok();
                    let row = ImportedRow { url: Some(shown), ..row(number, Some(settings.name.clone()), taken) };
                    if well {
                        new.push((slug_label, settings));
                    }
                    row
                }
                Err(problem) => ImportedRow { url, ..row(number, name, Err(problem.into())) },
            }
        })
        .collect();
    (rows, new)
}

/// The address of a line that has a mistake; `None` when it is the mistake.
fn masked(members: &Map<String, Value>) -> Option<String> {
    let parsed = CameraUrl::parse(members.get("url")?.as_str()?).ok()?;
    let username = parsed.username.as_deref().or_else(|| members.get("username")?.as_str());
    Some(parsed.url.masked(username, parsed.password.is_some() || members.contains_key("password")))
}

/// As `POST /video/` reads it.
fn create(members: Map<String, Value>) -> Result<NewLink, Problem> {
    if members.contains_key("url") {
        settings::create(members)
    } else {
        Err(Problem::invalid("url", "the address is missing"))
    }
}

fn row(line: u64, name: Option<String>, taken: Result<Option<String>, ImportedRowError>) -> ImportedRow {
    let (ok, warning, error) = match taken {
        Ok(warning) => (true, warning, None),
        Err(error) => (false, None, Some(error)),
    };
    ImportedRow { line, ok, name, url: None, slug: None, error, warning }
}

impl From<Problem> for ImportedRowError {
    fn from(problem: Problem) -> Self {
        Self { field: problem.field().map(str::to_owned), text: problem.sentence().to_owned() }
    }
}
