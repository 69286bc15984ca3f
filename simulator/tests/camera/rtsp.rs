//! As much of an RTSP client (RFC 2326, RTP interleaved in TCP) as these tests need.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// The first of the awaited events.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// An RTP packet with a slice of a picture.
    Picture,
    /// The connection was closed.
    End,
    /// Nothing within the given time.
    Silence,
}

pub struct Viewer {
    stream: BufReader<TcpStream>,
    url: String,
    session: Option<String>,
    requests: u32,
    /// The session description.
    pub sdp: String,
}

/// One RTP packet (RFC 3550 section 5.1) without header extensions.
#[derive(Debug)]
pub struct Rtp {
    pub marker: bool,
    pub timestamp: u32,
    pub payload: Vec<u8>,
}

impl Viewer {
    /// DESCRIBE, SETUP of the pictures, PLAY; the status code of the first that was refused.
    pub fn play(port: u16, path: &str) -> Result<Self, u16> {
        Self::play_tracks(port, path, 1)
    }

    /// The same with the first `tracks` tracks: RTP on the even channels, RTCP on the odd ones.
    pub fn play_tracks(port: u16, path: &str, tracks: usize) -> Result<Self, u16> {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the camera listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let url = format!("rtsp://127.0.0.1:{port}/{path}");
        let stream = BufReader::new(stream);
        let mut viewer = Self { stream, url, session: None, requests: 0, sdp: String::new() };
        viewer.sdp = viewer.request("DESCRIBE", "", "Accept: application/sdp")?;
        for track in 0..tracks {
            let (rtp, rtcp) = (2 * track, 2 * track + 1);
            let transport = format!("Transport: RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}");
            viewer.request("SETUP", &format!("/stream={track}"), &transport)?;
        }
        viewer.request("PLAY", "/", "Range: npt=now-")?;
        Ok(viewer)
    }

    /// Swallows pictures until they stop coming: ends with silence or with the end. Fails if they do neither.
    pub fn drain(&mut self, patience: Duration) -> Heard {
        let begun = Instant::now();
        while begun.elapsed() < patience * 5 {
            match self.listen(patience) {
                Heard::Picture => {}
                other => return other,
            }
        }
        Heard::Picture
    }

    /// Listens until a picture comes, swallowing everything else.
    pub fn listen(&mut self, patience: Duration) -> Heard {
        let begun = Instant::now();
        self.stream.get_ref().set_read_timeout(Some(patience)).expect("a timeout");
        while begun.elapsed() < patience {
            match self.packet() {
                // Channel 0 is RTP; NAL types 1 and 5 are slices, 28 fragments of one (RFC 6184 section 5.2).
                Ok((0, rtp)) if rtp.get(12).is_some_and(|nal| matches!(nal & 0x1f, 1 | 5 | 28)) => {
                    return Heard::Picture;
                }
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Heard::Silence;
                }
                Err(_) => return Heard::End,
            }
        }
        Heard::Silence
    }

    /// The next RTP packet on `channel`, swallowing everything else. Fails when none comes for ten seconds.
    pub fn rtp(&mut self, channel: u8) -> Rtp {
        self.stream.get_ref().set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        loop {
            let (from, packet) = self.packet().expect("a packet");
            if from == channel {
                return Rtp {
                    marker: packet[1] & 0x80 != 0,
                    timestamp: u32::from_be_bytes(packet[4..8].try_into().expect("four bytes")),
                    payload: packet[12..].to_vec(),
                };
            }
        }
    }

    /// The packets of the next whole picture.
    pub fn picture(&mut self) -> Vec<Rtp> {
        let mut packets = vec![self.rtp(0)];
        while packets.last().is_some_and(|packet| !packet.marker) {
            packets.push(self.rtp(0));
        }
        packets
    }

    /// The channel of the next interleaved packet.
    pub fn channel(&mut self) -> u8 {
        self.packet().expect("a packet").0
    }

    /// One interleaved packet (RFC 2326 section 10.12): channel and payload.
    fn packet(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header)?;
        assert_eq!(header[0], b'$', "an interleaved packet");
        let mut payload = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]]))];
        self.stream.read_exact(&mut payload)?;
        Ok((header[1], payload))
    }

    fn request(&mut self, method: &str, suffix: &str, header: &str) -> Result<String, u16> {
        self.requests += 1;
        let session = self.session.as_ref().map(|id| format!("Session: {id}\r\n")).unwrap_or_default();
        let request =
            format!("{method} {}{suffix} RTSP/1.0\r\nCSeq: {}\r\n{session}{header}\r\n\r\n", self.url, self.requests);
        self.stream.get_mut().write_all(request.as_bytes()).expect("the camera reads");

        let status = self.line().split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        let mut length = 0;
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "session" => self.session = value.split(';').next().map(str::to_owned),
                "content-length" => length = value.parse().expect("a length"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("the body");
        if status == 200 { Ok(String::from_utf8_lossy(&body).into_owned()) } else { Err(status) }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("an answer");
        line.trim_end().to_owned()
    }
}
