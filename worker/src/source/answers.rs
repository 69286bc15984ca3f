//! Reads the answers of a camera on their way to the client. Pure.
//!
//! Cameras are sloppy, so only the needed lines are read (RFC 2326), and everything else passes as it is.

use std::net::IpAddr;

/// Longest head of a message, in bytes. GStreamer takes lines of 4096.
const MAX_HEAD: usize = 16 * 1024;
/// Longest body: session descriptions are a few kilobytes.
const MAX_BODY: usize = 256 * 1024;
/// Channel and length stand before interleaved data (section 10.12).
const FRAME_HEAD: usize = 4;

/// Why nothing more passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A redirection, and where to.
    Moved(u16, Option<String>),
    /// The first bytes are not RTSP.
    NotRtsp,
    /// RTSP came before, this is none.
    Broken,
}

/// Reads the bytes of one connection.
#[derive(Debug)]
pub struct Answers {
    /// The camera's address: where datagrams of the session may come from and go to.
    camera: IpAddr,
    /// A head that is not whole.
    head: Vec<u8>,
    /// Bytes of a body or of media that pass unread.
    passing: usize,
    /// Status of the newest answer.
    status: Option<u16>,
}

impl Answers {
    pub fn new(camera: IpAddr) -> Self {
        Self { camera, head: Vec::new(), passing: 0, status: None }
    }

    /// The status of the newest answer.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Reads `bytes` and adds to `out` those that may pass.
    ///
    /// # Errors
    /// [`Stop`]; the bytes in `out` may still pass.
    pub fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Stop> {
        while !bytes.is_empty() {
            if self.passing > 0 {
                let (passes, rest) = bytes.split_at(self.passing.min(bytes.len()));
                out.extend_from_slice(passes);
                self.passing -= passes.len();
                bytes = rest;
            } else {
                self.head.push(bytes[0]);
                bytes = &bytes[1..];
                self.head_grew(out)?;
            }
        }
        Ok(())
    }

    fn head_grew(&mut self, out: &mut Vec<u8>) -> Result<(), Stop> {
        let head = &mut self.head;
        match head[0] {
            b'$' if self.status.is_some() => {
                if head.len() == FRAME_HEAD {
                    self.passing = usize::from(u16::from_be_bytes([head[2], head[3]]));
                    out.append(head);
                }
                return Ok(());
            }
            // Some send empty lines between messages.
            b'\r' | b'\n' => {
                head.clear();
                return Ok(());
            }
            _ => {}
        }
        let begins = head.len().min(5);
        // Once it has answered, a camera may ask, too.
        let sound = head[..begins] == b"RTSP/"[..begins] || (self.status.is_some() && head[0].is_ascii_uppercase());
        if !sound || head.len() > MAX_HEAD {
            return Err(if self.status.is_some() { Stop::Broken } else { Stop::NotRtsp });
        }
        if head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n") {
            let mut head = std::mem::take(head);
            plain(&mut head);
            self.message(&head, out)?;
        }
        Ok(())
    }

    fn message(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<(), Stop> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let field = |wanted: &str| {
            let mut fields = text.lines().skip(1).filter_map(|line| line.split_once(':'));
            fields.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim().to_owned())
        };
        if first.starts_with("RTSP/") {
            let status = first.split_ascii_whitespace().nth(1).and_then(|status| status.parse().ok());
            let unreadable = if self.status.is_some() { Stop::Broken } else { Stop::NotRtsp };
            let status: u16 = status.ok_or(unreadable)?;
            self.status = Some(status);
            // 304 is the one of them that asks for nothing.
            if (300..400).contains(&status) && status != 304 {
                return Err(Stop::Moved(status, field("location").filter(|location| !location.is_empty())));
            }
        }
        let length = field("content-length").map_or(Ok(0), |length| length.parse::<usize>());
        self.passing = length.ok().filter(|length| *length <= MAX_BODY).ok_or(Stop::Broken)?;
        for line in head.split_inclusive(|byte| *byte == b'\n') {
            match self.transport(line) {
                Some(line) => out.extend_from_slice(line.as_bytes()),
                None => out.extend_from_slice(line),
            }
        }
        Ok(())
    }

    /// A Transport line (section 12.39) for datagrams with the camera alone, whatever it says: no other host or
    /// group may be sent reports, and the connection that it came over does not have the camera's address.
    fn transport(&self, line: &[u8]) -> Option<String> {
        let line = String::from_utf8_lossy(line);
        let (name, value) = line.split_once(':')?;
        let mut parts = value.trim().split(';');
        let protocol = parts.next()?.trim();
        if !name.trim().eq_ignore_ascii_case("transport") || protocol.to_ascii_uppercase().ends_with("/TCP") {
            return None;
        }
        let kept = parts.filter(|part| {
            let name = part.split('=').next().unwrap_or_default().trim();
            ["client_port", "server_port", "ssrc", "mode"].iter().any(|known| name.eq_ignore_ascii_case(known))
        });
        let kept: String = kept.map(|part| format!("{};", part.trim())).collect();
        // The lower transport is UDP when none is named.
        let profile: Vec<_> = protocol.split('/').take(2).collect();
        Some(format!("Transport: {};unicast;{kept}source={}\r\n", profile.join("/"), self.camera))
    }
}

/// Makes a head that every reader reads alike: lines end in a line feed and nowhere else, and none goes on in the next
/// (section 4.2). GStreamer also ends lines, and heads, at a carriage return alone and at a zero; a
/// message that only GStreamer sees would not have been read here.
fn plain(head: &mut [u8]) {
    for at in 0..head.len() {
        let line_end = head[at] == b'\n' || head[at] == b'\r' && head.get(at + 1) == Some(&b'\n');
        if head[at].is_ascii_control() && !line_end {
            head[at] = b' ';
        }
    }
    for at in 1..head.len() {
        if head[at] == b' ' && head[at - 1] == b'\n' {
            head[at - 1] = b' ';
            if let Some(before) = at.checked_sub(2).and_then(|at| head.get_mut(at)).filter(|byte| **byte == b'\r') {
                *before = b' ';
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAMERA: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn read(bytes: &[u8]) -> (Vec<u8>, Result<(), Stop>, Option<u16>) {
        let (mut answers, mut out) = (Answers::new(CAMERA), Vec::new());
        let taken = answers.take(bytes, &mut out);
        (out, taken, answers.status())
    }

    #[test]
    fn answers_media_and_questions_pass_as_they_are() {
        let all = b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nWWW-Authenticate: Basic realm=\"a\"\r\n\r\n\
            RTSP/1.0 200 OK\r\nContent-length:  5 \r\n\r\nv=0\r\n$\x00\x00\x03abc$\x01\x00\x00\
            OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n$\x00\x00\x02RTRTSP/1.0 200\n\n";
        assert_eq!(read(all), (all.to_vec(), Ok(()), Some(200)));
    }

    #[test]
    fn a_redirection_does_not_pass() {
        for (text, want) in [
            ("RTSP/1.0 302 Found\r\nLOCATION: rtsp://b/x \r\n\r\n", Stop::Moved(302, Some("rtsp://b/x".into()))),
            ("RTSP/1.0 301 Moved\r\nLocation:\r\n\r\n", Stop::Moved(301, None)),
            ("RTSP/1.0 307 x\r\n\r\nRTSP/1.0 200 OK\r\n\r\n", Stop::Moved(307, None)),
        ] {
            let (out, taken, _) = read(text.as_bytes());
            assert_eq!((out.len(), taken), (0, Err(want)), "{text}");
        }
    }

    #[test]
    fn no_second_message_hides_in_a_head() {
        for between in ["\r\r", "\n\0", "\n\0\n", "\r\0\r", "\n \r\n", "\r\n\t\r\n"] {
            let text = format!("RTSP/1.0 200 OK{between}RTSP/1.0 302 x\r\nLocation: rtsp://b/\r\n\r\n");
            let (out, _, status) = read(text.as_bytes());
            assert_eq!(status, Some(200));
            let head = String::from_utf8(out).unwrap();
            let lines: Vec<_> = head.strip_suffix("\r\n\r\n").unwrap().split("\r\n").flat_map(str::lines).collect();
            // As GStreamer ends lines and heads.
            let ends = |line: &&str| line.is_empty() || line.starts_with(' ') || line.contains(['\r', '\t', '\0']);
            assert!(!lines.iter().any(ends), "{between:?}: {head:?}");
        }
    }

    #[test]
    fn what_is_not_rtsp_is_known_by_its_first_bytes() {
        let long = format!("RTSP/1.0 200 OK\r\nX: {}", "x".repeat(MAX_HEAD));
        for (text, want) in [
            ("HTTP/1.1 400 Bad Request\r\n", Stop::NotRtsp),
            ("SSH-2.0-x\r\n", Stop::NotRtsp),
            ("\0", Stop::NotRtsp),
            ("$", Stop::NotRtsp),
            ("RTSP/1.0 OK\r\n\r\n", Stop::NotRtsp),
            ("RTSP/1.0 200 OK\r\nContent-Length: 999999\r\n\r\n", Stop::Broken),
            ("RTSP/1.0 200 OK\r\n\r\nxyz", Stop::Broken),
            (long.as_str(), Stop::NotRtsp),
        ] {
            assert_eq!(read(text.as_bytes()).1, Err(want), "{text}");
        }
    }

    #[test]
    fn datagrams_are_exchanged_with_the_camera_alone() {
        let line = |transport: &str| {
            let answer = format!("RTSP/1.0 200 OK\r\nTransport: {transport}\r\nSession: 1\r\n\r\n");
            String::from_utf8(read(answer.as_bytes()).0).unwrap().lines().nth(1).unwrap().to_owned()
        };
        assert_eq!(
            line("RTP/AVP;unicast;Destination=10.0.0.1;source=10.9.9.9;client_port=4-5;server_port=6-7"),
            "Transport: RTP/AVP;unicast;client_port=4-5;server_port=6-7;source=192.0.2.7"
        );
        for (said, want) in [
            ("RTP/AVP/UDP;unicast;server_port=6-7", "RTP/AVP;unicast;server_port=6-7;"),
            ("RTP/AVP;multicast;destination=10.0.0.1;port=6-7;ttl=9", "RTP/AVP;unicast;"),
            ("RTP/AVP;destination=10.0.0.1", "RTP/AVP;unicast;"),
            ("RTP/AVP;unicast\r\n ;client_port=4-5\r\n\t;destination=10.0.0.1", "RTP/AVP;unicast;client_port=4-5;"),
            ("RTP/AVP;unicast\r ;client_port=4-5;source=10.0.0.1", "RTP/AVP;unicast;client_port=4-5;"),
        ] {
            assert_eq!(line(said), format!("Transport: {want}source=192.0.2.7"), "{said}");
        }
        assert_eq!(line("RTP/AVP/TCP;unicast;interleaved=0-1"), "Transport: RTP/AVP/TCP;unicast;interleaved=0-1");
    }

    proptest! {
        #[test]
        fn pieces_read_like_the_whole(bytes in prop::collection::vec(any::<u8>(), 0..80), at in 0usize..200) {
            let mut all = b"RTSP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc$\x00\x00\x02xyOPTIONS * RTSP/1.0\r\n\r\n".to_vec();
            all.extend(bytes);
            let (first, second) = all.split_at(at.min(all.len()));
            let (mut answers, mut out) = (Answers::new(CAMERA), Vec::new());
            let taken = answers.take(first, &mut out).and_then(|()| answers.take(second, &mut out));
            let status = answers.status();
            prop_assert_eq!((out, taken, status), read(&all));
        }
    }
}
