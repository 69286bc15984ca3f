//! Failures of camera sessions: sentences that tell a person the remedy, and the state that follows.

use std::time::Duration;

use rsm_shared::stream::state::{Reason, ReasonCode, StreamState};

/// Most codec names that are listed to a person.
const MAX_OFFERED: usize = 6;

/// The end of a camera session. No variant holds a credential, an address or a library's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    #[error("The camera's host name was not found. Correct the name in the link, or check the DNS of this machine.")]
    NameNotFound,
    #[error(
        "The camera's address is not in the networks that this server may connect to (cameras.allowed_networks and denied_networks)."
    )]
    AddressDenied,
    #[error(
        "The camera cannot be reached: no route to it, or it does not answer. Check that it is switched on, and the address."
    )]
    Unreachable,
    #[error("The camera did not answer within {} s. Check that it is switched on, and the address and port.", .0.as_secs())]
    NoAnswer(Duration),
    #[error(
        "The host refused the connection. Check the port (RTSP is usually 554), and that RTSP is switched on in the camera."
    )]
    Refused,
    #[error("The camera refused the user name or password ({0}). Correct them in the link; the next try is in {minutes} minutes.", minutes = .1.as_secs().div_ceil(60))]
    Unauthorized(u16, Duration),
    #[error("The camera asks for a user name and password ({0}). Add them to the link; the next try is in {minutes} minutes.", minutes = .1.as_secs().div_ceil(60))]
    CredentialsNeeded(u16, Duration),
    #[error("The camera has no stream at this path ({0}). Correct the path in the link; the camera's manual names it.")]
    NotFound(u16),
    #[error("The camera serves no further viewer ({0}). Close other programs that watch it, or raise its limit.")]
    Busy(u16),
    #[error("What answers at this address is not an RTSP server. Check the port; RTSP is usually 554.")]
    NotRtsp,
    #[error("The camera offers no H.264, H.265 or MJPEG video here; it offers {}. Set it to one of them.", offered(.0))]
    NoVideo(Vec<String>),
    #[error(
        "The camera's video is not readable: its parameter sets are missing or broken. Set its encoder anew, or restart it."
    )]
    BadVideo,
    /// A redirect that is not followed yet: opening follows it or makes it one of the next two.
    #[error("The camera wants to be asked at another address ({0}). Put that address into the link.")]
    Moved(u16),
    #[error("The camera refuses this way of transport (461). Choose another transport in the link.")]
    TransportRefused,
    #[error(
        "The camera redirects in a circle, or more often than three times ({0}). Put the last address into the link."
    )]
    RedirectLoop(u16),
    #[error(
        "The camera redirects to what is no address of a camera, or from rtsps to rtsp ({0}). Put the right address into the link."
    )]
    BadRedirect(u16),
    #[error(
        "This machine does not trust the camera's certificate, or it is for another name. If the camera signed it itself, switch \"accept any certificate\" (tls_insecure) on in the link."
    )]
    Tls,
    #[error(
        "The secure connection failed: what answers at this port speaks no TLS 1.2 or 1.3. Check the port (RTSPS is usually 322), or use rtsp:// instead."
    )]
    TlsHandshake,
    #[error("The connection is open, but no picture came for {} s. Restart the camera if this goes on.", .0.as_secs())]
    Stalled(Duration),
    #[error("The camera answers, but none of its datagrams came for {} s: a firewall may hold them back. Choose TCP in the link.", .0.as_secs())]
    NoDatagrams(Duration),
    #[error("The camera closed the connection. Restart it if this goes on.")]
    Ended,
    /// Until the session has shown that both sides understand each other.
    #[error(
        "The camera broke the RTSP or RTP protocol at the beginning. Restart it, or update its software, if this goes on."
    )]
    ProtocolAtOpen,
    #[error("The camera broke the RTSP or RTP protocol, or packets were damaged on the way.")]
    Protocol,
    #[error("Pictures arrive torn. Check the network to the camera, or lower its bit rate.")]
    Damaged,
    #[error("The camera did not answer while it was asked to keep the session. Restart it if this goes on.")]
    NoKeepAlive,
    #[error("The camera answered with an error ({0}). Restart it if this goes on.")]
    Status(u16),
    #[error("The receiving pipeline failed on this worker.")]
    Pipeline,
}

impl SourceError {
    /// The meaning of an RTSP status (RFC 2326 section 7.1.1) other than success. `tried` is true when credentials were
    /// sent, `retry` when the next try with these credentials is.
    pub fn from_status(status: u16, tried: bool, retry: Duration) -> Self {
        match status {
            401 | 403 if !tried => Self::CredentialsNeeded(status, retry),
            401 | 403 => Self::Unauthorized(status, retry),
            404 | 410 => Self::NotFound(status),
            453 | 503 => Self::Busy(status),
            461 => Self::TransportRefused,
            300..=399 => Self::Moved(status),
            _ => Self::Status(status),
        }
    }

    /// The code for machines.
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::NameNotFound => ReasonCode::NameNotFound,
            Self::AddressDenied | Self::Unreachable | Self::NoAnswer(_) => ReasonCode::Unreachable,
            Self::Refused => ReasonCode::Refused,
            Self::Unauthorized(..) | Self::CredentialsNeeded(..) => ReasonCode::AuthFailed,
            Self::NotFound(_) => ReasonCode::NotFound,
            Self::Busy(_) => ReasonCode::Busy,
            Self::NotRtsp => ReasonCode::NotRtsp,
            Self::NoVideo(_) | Self::BadVideo => ReasonCode::Unsupported,
            Self::Stalled(_) | Self::NoDatagrams(_) => ReasonCode::Stalled,
            Self::Ended => ReasonCode::Ended,
            Self::Moved(_)
            | Self::TransportRefused
            | Self::RedirectLoop(_)
            | Self::BadRedirect(_)
            | Self::Tls
            | Self::TlsHandshake
            | Self::ProtocolAtOpen
            | Self::Protocol
            | Self::Damaged
            | Self::NoKeepAlive
            | Self::Status(_) => ReasonCode::Protocol,
            Self::Pipeline => ReasonCode::Pipeline,
        }
    }

    /// The state of a stream whose session ended so.
    pub fn state(&self) -> StreamState {
        match self {
            Self::Unauthorized(..) | Self::CredentialsNeeded(..) => StreamState::AuthFailed,
            // An operator must change a setting.
            Self::AddressDenied
            | Self::NotFound(_)
            | Self::NotRtsp
            | Self::NoVideo(_)
            | Self::BadVideo
            | Self::Moved(_)
            | Self::RedirectLoop(_)
            | Self::BadRedirect(_)
            | Self::Tls
            | Self::TlsHandshake => StreamState::Failed,
            _ => StreamState::Reconnecting,
        }
    }

    /// True when GStreamer may succeed where retina did not.
    pub fn may_suit_rtspsrc(&self) -> bool {
        matches!(self, Self::ProtocolAtOpen | Self::TransportRefused | Self::BadVideo | Self::NoKeepAlive)
    }

    /// Code and sentence.
    pub fn reason(&self) -> Reason {
        Reason { code: self.code(), text: self.to_string() }
    }
}

fn offered(codecs: &[String]) -> String {
    if codecs.is_empty() {
        return "no video at all".into();
    }
    // Names come from the camera: only characters of codec names are repeated.
    let clean = |name: &String| -> String {
        name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')).take(24).collect()
    };
    codecs.iter().take(MAX_OFFERED).map(clean).collect::<Vec<_>>().join(", ")
}

/// The progress of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Until PLAY was answered.
    Opening,
    /// The first seconds after it.
    Early,
    Running,
}

/// The meaning of retina's errors. It has no error kinds; its sentences are stable and start with these words
/// (retina 0.4.21, `src/error.rs`).
pub fn from_retina(text: &str, status: Option<u16>, phase: Phase, tried: bool, retry: Duration) -> SourceError {
    match status {
        Some(status @ 300..) => return SourceError::from_status(status, tried, retry),
        // A success whose content retina cannot use.
        Some(_) => return SourceError::ProtocolAtOpen,
        None => {}
    }
    if text.starts_with("Unable to connect") {
        // Linux errno of ECONNREFUSED.
        let refused = text.contains("os error 111");
        return if refused { SourceError::Refused } else { SourceError::Unreachable };
    }
    let unlike_rtsp = ["Invalid RTSP message", "Incomplete RTSP message"];
    if phase == Phase::Opening
        && unlike_rtsp.iter().any(|what| text.starts_with(&format!("RTSP framing error: {what}")))
    {
        return SourceError::NotRtsp;
    }
    if text.starts_with("Error reading from RTSP peer: Server failed to respond to keepalive") {
        return SourceError::NoKeepAlive;
    }
    let closed = ["Error reading from RTSP peer", "Error writing to RTSP peer", "Error receiving UDP"];
    match phase {
        _ if closed.iter().any(|start| text.starts_with(start)) => SourceError::Ended,
        // Cut off within a packet, or within data that is not RTSP: the end all the same.
        Phase::Running if text.starts_with("RTSP framing error: Incomplete RTSP message") => SourceError::Ended,
        Phase::Opening | Phase::Early => SourceError::ProtocolAtOpen,
        Phase::Running => SourceError::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Duration = Duration::from_secs(300);

    #[test]
    fn retina_errors_tell_what_to_do() {
        use Phase::{Early, Opening, Running};
        let eof = "Error reading from RTSP peer: EOF while expecting response to DESCRIBE CSeq 1";
        let silent = "Error reading from RTSP peer: Server failed to respond to keepalive 5 within 2s";
        let cut = "RTSP framing error: Incomplete RTSP message at EOF";
        for (text, status, phase, want) in [
            ("Unable to connect to RTSP server: refused (os error 111)", None, Opening, SourceError::Refused),
            ("Unable to connect to RTSP server: No route (os error 113)", None, Opening, SourceError::Unreachable),
            ("RTSP framing error: Invalid RTSP message: bad", None, Opening, SourceError::NotRtsp),
            ("RTSP framing error: Invalid RTSP message: bad", None, Early, SourceError::ProtocolAtOpen),
            ("RTSP framing error: Invalid RTSP message: bad", None, Running, SourceError::Protocol),
            ("RTSP framing error: Expected response to SETUP", None, Opening, SourceError::ProtocolAtOpen),
            (cut, None, Opening, SourceError::NotRtsp),
            (cut, None, Running, SourceError::Ended),
            (eof, None, Opening, SourceError::Ended),
            (silent, None, Running, SourceError::NoKeepAlive),
            ("401 Unauthorized response to DESCRIBE", Some(401), Opening, SourceError::Unauthorized(401, RETRY)),
            ("403", Some(403), Opening, SourceError::Unauthorized(403, RETRY)),
            ("404", Some(404), Opening, SourceError::NotFound(404)),
            ("453", Some(453), Opening, SourceError::Busy(453)),
            ("503", Some(503), Opening, SourceError::Busy(503)),
            ("461", Some(461), Opening, SourceError::TransportRefused),
            ("302", Some(302), Opening, SourceError::Moved(302)),
            ("500", Some(500), Opening, SourceError::Status(500)),
            ("200 OK response to DESCRIBE: bad SDP", Some(200), Opening, SourceError::ProtocolAtOpen),
            ("bad FU-A", None, Early, SourceError::ProtocolAtOpen),
            ("bad FU-A", None, Running, SourceError::Protocol),
        ] {
            assert_eq!(from_retina(text, status, phase, true, RETRY), want, "{text}");
        }
        for status in [401, 403] {
            let error = from_retina("", Some(status), Opening, false, RETRY);
            assert_eq!(error, SourceError::CredentialsNeeded(status, RETRY));
        }
    }

    #[test]
    fn what_only_retina_cannot_do_is_tried_with_rtspsrc() {
        for (error, other) in [
            (SourceError::ProtocolAtOpen, true),
            (SourceError::TransportRefused, true),
            (SourceError::BadVideo, true),
            (SourceError::NoKeepAlive, true),
            (SourceError::Protocol, false),
            (SourceError::Damaged, false),
            (SourceError::NotRtsp, false),
            (SourceError::Ended, false),
        ] {
            assert_eq!(error.may_suit_rtspsrc(), other, "{error}");
        }
    }

    #[test]
    fn states_and_codes() {
        for (error, state, code) in [
            (SourceError::NameNotFound, StreamState::Reconnecting, "name_not_found"),
            (SourceError::Unauthorized(401, RETRY), StreamState::AuthFailed, "auth_failed"),
            (SourceError::NotFound(404), StreamState::Failed, "not_found"),
            (SourceError::NoVideo(vec![]), StreamState::Failed, "unsupported"),
            (SourceError::NotRtsp, StreamState::Failed, "not_rtsp"),
            (SourceError::Busy(453), StreamState::Reconnecting, "busy"),
            (SourceError::Stalled(RETRY), StreamState::Reconnecting, "stalled"),
        ] {
            assert_eq!((error.state(), error.code().as_str()), (state, code));
        }
    }

    #[test]
    fn sentences() {
        assert_eq!(
            SourceError::Unauthorized(401, RETRY).to_string(),
            "The camera refused the user name or password (401). Correct them in the link; the next try is in 5 minutes."
        );
        let offered = vec!["vp8".to_owned(), "<script>".to_owned()];
        assert_eq!(
            SourceError::NoVideo(offered).to_string(),
            "The camera offers no H.264, H.265 or MJPEG video here; it offers vp8, script. Set it to one of them."
        );
    }
}
