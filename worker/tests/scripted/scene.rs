//! Behaviour of a scripted camera, as plain values.

use std::time::Duration;

pub use super::media::Step;
use super::media::{Offer, base64_of};
use super::request::Request;

/// Reaction to a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// As a good camera would.
    Answer,
    /// This status, with these header lines, each with its line end.
    Status(u16, String),
    /// These bytes.
    Raw(Vec<u8>),
    /// As a good camera would, one byte and then this pause.
    Drip(Duration),
    /// Nothing.
    Silence,
    Close,
    Reset,
}

/// Behaviour after the last step.
#[derive(Clone, Copy, Debug)]
pub enum SceneEnd {
    Close,
    Silence,
    /// All steps again.
    Again,
}

/// The demanded login.
#[derive(Clone, Debug)]
pub struct Login {
    pub user: String,
    pub password: String,
    pub digest: bool,
}

const NONCE: &str = "dcd98b7102dd2f0e8b11d0f600bfb0c0";

/// One connection.
#[derive(Clone, Debug)]
pub struct Scene {
    pub sdp: String,
    /// `Content-Base` of the description's answer.
    pub content_base: Option<String>,
    /// The `Session` header.
    pub session: String,
    /// The `Public` header of OPTIONS.
    pub public: String,
    pub login: Option<Login>,
    /// Reactions by method: the first that fits a request.
    pub acts: Vec<(&'static str, Act)>,
    /// Reactions to a SETUP whose address ends so; before `acts`.
    pub setups: Vec<(&'static str, Act)>,
    pub media: Vec<Step>,
    pub end: SceneEnd,
    /// Sent before anything is asked.
    pub greeting: Option<Vec<u8>>,
    /// Closes before anything is asked.
    pub end_at_once: bool,
}

impl Scene {
    /// A good camera that offers and sends this, and then is silent.
    pub fn new(offer: Offer, media: Vec<Step>) -> Self {
        Self {
            sdp: offer.sdp(),
            content_base: None,
            session: "12345678".into(),
            public: "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN".into(),
            login: None,
            acts: Vec::new(),
            setups: Vec::new(),
            media,
            end: SceneEnd::Silence,
            greeting: None,
            end_at_once: false,
        }
    }

    /// The same, but a method is met with `act`.
    pub fn with(mut self, method: &'static str, act: Act) -> Self {
        self.acts.push((method, act));
        self
    }

    pub(super) fn act(&self, request: &Request) -> Act {
        if let Some(login) = &self.login
            && !login.admits(request)
        {
            return Act::Status(401, login.challenge());
        }
        let setup = self.setups.iter().find(|(end, _)| request.method == "SETUP" && request.uri.ends_with(end));
        let act = setup.or_else(|| self.acts.iter().find(|(method, _)| *method == request.method));
        act.map_or(Act::Answer, |(_, act)| act.clone())
    }

    pub(super) fn status(&self, request: &Request, status: u16, headers: &str) -> String {
        let cseq = request.header("CSeq").unwrap_or("0");
        format!("RTSP/1.0 {status} Said\r\nCSeq: {cseq}\r\n{headers}\r\n")
    }

    pub(super) fn answer(&self, request: &Request) -> String {
        let session = format!("Session: {}\r\n", self.session);
        let (headers, body) = match request.method.as_str() {
            "OPTIONS" => (format!("Public: {}\r\n", self.public), ""),
            "DESCRIBE" => {
                let base = self.content_base.as_ref().map(|base| format!("Content-Base: {base}\r\n"));
                let length = format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n", self.sdp.len());
                (base.unwrap_or_default() + &length, self.sdp.as_str())
            }
            "SETUP" => {
                let transport = request.header("Transport").unwrap_or_default();
                (format!("{session}Transport: {transport}\r\n"), "")
            }
            _ => (session, ""),
        };
        self.status(request, 200, &headers) + body
    }
}

impl Login {
    fn challenge(&self) -> String {
        match self.digest {
            true => format!("WWW-Authenticate: Digest realm=\"camera\", nonce=\"{NONCE}\"\r\n"),
            false => "WWW-Authenticate: Basic realm=\"camera\"\r\n".into(),
        }
    }

    fn admits(&self, request: &Request) -> bool {
        let Some(said) = request.header("Authorization") else { return false };
        let Self { user, password, digest } = self;
        if !digest {
            return said == format!("Basic {}", base64_of(format!("{user}:{password}").as_bytes()));
        }
        let field = |name: &str| Some(said.split(&format!("{name}=\"")).nth(1)?.split('"').next()?.to_owned());
        // RFC 2069, as cameras do it: no qop.
        let who = md5(&format!("{user}:camera:{password}"));
        let what = md5(&format!("{}:{}", request.method, field("uri").unwrap_or_default()));
        // A name beyond ASCII comes as `username*` (RFC 7616 section 3.4); the response has it in it either way.
        let named = said.contains("username*=UTF-8") || field("username").as_ref() == Some(user);
        named && field("response") == Some(md5(&format!("{who}:{NONCE}:{what}")))
    }
}

fn md5(text: &str) -> String {
    use md5::Digest as _;
    md5::Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
