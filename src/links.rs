//! `rsm links`: the cameras of an API, over HTTP. Results go to stdout, one line each with tabs between, for scripts.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use rsm_shared::stream::slug::Slug;
use serde_json::{Map, Value, json};

use crate::exit::{EXIT_UNAVAILABLE, EXIT_USAGE, fail};

/// An answer of the API. 5000 cameras are registered in a few seconds.
const DEADLINE: Duration = Duration::from_secs(30);
/// The API takes lists of 1 MiB at most; one byte more lets the API refuse a longer one.
const MAX_LIST: u64 = (1 << 20) + 1;
/// Longest password, bytes; the API has its own bound.
const MAX_PASSWORD: u64 = 4096;
/// Where a password is read from without a file: command lines are seen by everyone on a machine.
const PASSWORD: &str = "RSM_LINK_PASSWORD";

/// Commands on camera links.
#[derive(Subcommand)]
pub enum LinksCommand {
    /// Slug, state, address and name of each camera
    List,
    /// Registers a camera; prints its slug
    Add(Add),
    /// Stops and forgets a camera
    Remove {
        #[arg(value_name = "SLUG")]
        slug: String,
    },
    /// Registers a list of cameras (CSV), all or none; prints slug and address of each
    Import(Import),
    /// Prints the list of cameras as import takes it, without passwords
    Export,
}

/// A new camera.
#[derive(Args)]
pub struct Add {
    /// Address, without a password: rtsp://user@host/path
    #[arg(value_name = "URL")]
    url: String,
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    username: Option<String>,
    /// File with the password in its first line, - for standard input; else the environment's RSM_LINK_PASSWORD
    #[arg(long, value_name = "FILE")]
    password_file: Option<String>,
    #[arg(long)]
    zone: Option<String>,
    /// auto, tcp or udp
    #[arg(long)]
    transport: Option<String>,
    /// Runs without viewers, too
    #[arg(long)]
    always_on: bool,
}

/// A list of cameras.
#[derive(Args)]
pub struct Import {
    /// CSV with a header line; - for standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// Only reports the result that it would have
    #[arg(long)]
    dry_run: bool,
    /// Registers all valid lines
    #[arg(long)]
    skip_invalid: bool,
}

/// The reason of a failure: one line, and the exit code of the process.
pub struct CommandFailed(pub String, pub u8);

/// Exit code when the API refused the request.
const REFUSED: u8 = 1;

/// Runs `command` with the API at `api`, by default the one that would listen at `listen`.
pub fn run(command: &LinksCommand, api: Option<&str>, listen: SocketAddr) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("cannot make the runtime: {e}"), EXIT_UNAVAILABLE),
    };
    let done = runtime.block_on(async {
        let api = Api::new(api, listen)?;
        match command {
            LinksCommand::List => api.list().await,
            LinksCommand::Add(add) => api.add(add).await,
            LinksCommand::Remove { slug } => api.remove(slug).await,
            LinksCommand::Import(import) => api.import(import).await,
            LinksCommand::Export => api.export().await,
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandFailed(text, code)) => fail(&text, code),
    }
}

struct Api {
    http: Client,
    base: Url,
}

impl Api {
    fn new(named: Option<&str>, listen: SocketAddr) -> Result<Self, CommandFailed> {
        let http = Client::builder().timeout(DEADLINE).no_proxy().build();
        let http = http.map_err(|e| CommandFailed(format!("cannot make an HTTP client: {e}"), EXIT_UNAVAILABLE))?;
        Ok(Self { http, base: base(named, listen)? })
    }

    fn at(&self, path: &str) -> Url {
        // Never fails: the paths are of this file, and slugs are plain.
        self.base.join(path).unwrap_or_else(|_| self.base.clone())
    }

    /// The answer, when it is one of success or one that `takes` it as well.
    async fn send(&self, request: RequestBuilder, takes: Option<StatusCode>) -> Result<Response, CommandFailed> {
        let answer = request.send().await.map_err(|e| {
            let why = if e.is_timeout() { "it does not answer" } else { "it cannot be reached" };
            CommandFailed(
                format!("the API at {}: {why}; is it running? --api names another", self.base),
                EXIT_UNAVAILABLE,
            )
        })?;
        let status = answer.status();
        if status.is_success() || takes == Some(status) {
            return Ok(answer);
        }
        let code = if status.is_server_error() { EXIT_UNAVAILABLE } else { REFUSED };
        let problem: Value = answer.json().await.unwrap_or_default();
        let sentence = problem["error"].as_str().map_or_else(|| format!("it answered {status}"), plain);
        let field = problem["field"].as_str().map(|field| format!("{}: ", plain(field))).unwrap_or_default();
        Err(CommandFailed(format!("the API at {}: {field}{sentence}", self.base), code))
    }

    async fn list(&self) -> Result<(), CommandFailed> {
        let links = self.read_json(self.send(self.http.get(self.at("video/")), None).await?).await?;
        let lines = links.as_array().into_iter().flatten().map(|link| {
            let members = ["slug", "state", "url", "name"].map(|name| link[name].as_str().map(plain));
            members.map(Option::unwrap_or_default).join("\t") + "\n"
        });
        print(lines.collect::<String>().as_bytes())
    }

    async fn add(&self, add: &Add) -> Result<(), CommandFailed> {
        let link = self.read_json(self.send(self.http.post(self.at("video/")).json(&add.body()?), None).await?).await?;
        print(format!("{}\n", link["slug"].as_str().map(plain).unwrap_or_default()).as_bytes())
    }

    async fn remove(&self, slug: &str) -> Result<(), CommandFailed> {
        let slug = Slug::parse(slug).map_err(|_| CommandFailed(format!("SLUG: {slug:?} is not a slug"), EXIT_USAGE))?;
        self.send(self.http.delete(self.at(&format!("video/{slug}/"))), None).await.map(drop)
    }

    #[expect(clippy::print_stderr, reason = "a command, before there is a log")]
    async fn import(&self, import: &Import) -> Result<(), CommandFailed> {
        let list = read(&import.file, MAX_LIST)?;
        let flag = |is: bool| if is { "1" } else { "0" };
        let asked = [("dry_run", flag(import.dry_run)), ("skip_invalid", flag(import.skip_invalid))];
        let mut address = self.at("video/import");
        address.query_pairs_mut().extend_pairs(asked);
        let request = self.http.post(address).header(CONTENT_TYPE, "text/csv").body(list);
        let answer = self.send(request, Some(StatusCode::UNPROCESSABLE_ENTITY)).await?;
        let came = self.read_json(answer).await?;
        let Some(rows) = came["rows"].as_array() else {
            // The list as a whole was refused.
            let sentence = came["error"].as_str().map_or_else(|| "it refused the list".to_owned(), plain);
            return Err(CommandFailed(format!("{}: {sentence}", import.file), REFUSED));
        };
        let mut good = String::new();
        for row in rows {
            let text = |value: &Value| value.as_str().map(plain).unwrap_or_default();
            if row["ok"] == true && (import.dry_run || row["slug"].is_string()) {
                good += &format!("{}\t{}\n", text(&row["slug"]), text(&row["url"]));
            }
            for said in [&row["error"]["text"], &row["warning"]].into_iter().filter(|said| said.is_string()) {
                eprintln!("{} line {}: {}", import.file, row["line"], text(said));
            }
        }
        print(good.as_bytes())?;
        match came["invalid"].as_u64() {
            Some(0) => Ok(()),
            _ => {
                let registered = &came["created"];
                let text = format!("{}: {} lines are wrong; {registered} registered", import.file, came["invalid"]);
                Err(CommandFailed(text, REFUSED))
            }
        }
    }

    async fn export(&self) -> Result<(), CommandFailed> {
        let answer = self.send(self.http.get(self.at("video/export.csv")), None).await?;
        let list = answer.bytes().await.map_err(|_| self.ended())?;
        print(&list)
    }

    async fn read_json(&self, answer: Response) -> Result<Value, CommandFailed> {
        answer.json().await.map_err(|_| self.ended())
    }

    fn ended(&self) -> CommandFailed {
        CommandFailed(format!("what answers at {} is not this API, or it ended early", self.base), EXIT_UNAVAILABLE)
    }
}

impl Add {
    /// As `POST /video/` takes it.
    fn body(&self) -> Result<Value, CommandFailed> {
        // A text that is no address is left for the API to refuse.
        if Url::parse(&self.url).is_ok_and(|url| url.password().is_some()) {
            let text = format!(
                "URL: a password on the command line is seen by everyone on this machine; use --password-file or {PASSWORD}"
            );
            return Err(CommandFailed(text, EXIT_USAGE));
        }
        let password = match &self.password_file {
            Some(file) => Some(first_line(&read(file, MAX_PASSWORD)?, file)?),
            None => std::env::var(PASSWORD).ok(),
        };
        let given = [
            ("name", self.name.clone()),
            ("username", self.username.clone()),
            ("password", password),
            ("zone", self.zone.clone()),
            ("transport", self.transport.clone()),
        ];
        let mut members: Map<String, Value> =
            given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect();
        members.insert("url".into(), self.url.as_str().into());
        members.insert("always_on".into(), json!(self.always_on));
        Ok(members.into())
    }
}

/// Base URL of the API, with a slash at the end.
///
/// # Errors
/// [`CommandFailed`] when `named` is no such address, or nothing was named and `listen` leaves the port to the system.
pub fn base(named: Option<&str>, listen: SocketAddr) -> Result<Url, CommandFailed> {
    let text = match (named, listen.ip()) {
        (Some(named), _) => named.to_owned(),
        (None, _) if listen.port() == 0 => {
            return Err(CommandFailed("--api: name the API, http://HOST:PORT/".into(), EXIT_USAGE));
        }
        (None, ip) if ip.is_unspecified() => format!("http://127.0.0.1:{}/", listen.port()),
        (None, IpAddr::V4(_) | IpAddr::V6(_)) => format!("http://{listen}/"),
    };
    let bad = || CommandFailed("--api: expected http://HOST:PORT/, without user name and password".into(), EXIT_USAGE);
    let mut base = Url::parse(&text).map_err(|_| bad())?;
    let open = base.username().is_empty() && base.password().is_none() && base.query().is_none();
    if base.scheme() != "http" || !base.has_host() || !open {
        return Err(bad());
    }
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    Ok(base)
}

/// Content of a file, at most `most` bytes.
fn read(file: &str, most: u64) -> Result<Vec<u8>, CommandFailed> {
    let mut content = Vec::new();
    let done = if file == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut content)
    } else {
        std::fs::File::open(Path::new(file)).and_then(|from| from.take(most).read_to_end(&mut content))
    };
    done.map_err(|e| CommandFailed(format!("cannot read {file}: {e}"), EXIT_USAGE))?;
    Ok(content)
}

fn first_line(content: &[u8], file: &str) -> Result<String, CommandFailed> {
    let text = std::str::from_utf8(content).map_err(|_| CommandFailed(format!("{file} is not UTF-8"), EXIT_USAGE))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Removes characters that would break a line or a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Prints to stdout; the reader may be gone.
fn print(text: &[u8]) -> Result<(), CommandFailed> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CommandFailed(format!("cannot write: {e}"), EXIT_UNAVAILABLE))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_where_it_listens_unless_it_is_named() {
        for (named, listen, want) in [
            (None, "127.0.0.1:8080", Some("http://127.0.0.1:8080/")),
            (None, "0.0.0.0:81", Some("http://127.0.0.1:81/")),
            (None, "[::1]:81", Some("http://[::1]:81/")),
            (None, "127.0.0.1:0", None),
            (Some("http://h:1"), "127.0.0.1:0", Some("http://h:1/")),
            (Some("http://h/rsm"), "127.0.0.1:1", Some("http://h/rsm/")),
            (Some("https://h/"), "127.0.0.1:1", None),
            (Some("http://u:p@h/"), "127.0.0.1:1", None),
            (Some("here"), "127.0.0.1:1", None),
        ] {
            let base = base(named, listen.parse().unwrap()).ok();
            assert_eq!(base.as_ref().map(Url::as_str), want, "{named:?} {listen}");
        }
    }

    #[test]
    fn a_password_is_the_first_line_without_its_end() {
        for (content, want) in [("a b \r\nc", "a b "), ("x", "x"), ("", ""), ("\n", "")] {
            assert_eq!(first_line(content.as_bytes(), "f").ok().as_deref(), Some(want));
        }
        assert!(first_line(&[0xff], "f").is_err());
    }
}
