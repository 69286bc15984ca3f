//! A camera that sets a session up and then does not answer PLAY.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;

/// Baseline, 320x240, as other tests of this crate use it.
const SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
    a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets=\
    Z0LADNkBQfsBEAAAAwAQAAADAeDxQqSA,aMuDyyA=\r\na=control:trackID=0\r\n";

pub struct MuteCamera {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl MuteCamera {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<String>>>::default());
        let methods = asked.clone();
        // Ends with the test process; a thread per connection, and there are two at most.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let methods = methods.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &methods));
            }
        });
        Self { port, asked }
    }

    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/cam1", self.port)
    }

    /// True when a request with this method came.
    pub fn was_asked(&self, method: &str) -> bool {
        self.asked.lock().iter().any(|asked| asked == method)
    }
}

fn serve(mut stream: TcpStream, asked: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    while let Some(request) = lines.next() {
        let method = request.split(' ').next().unwrap_or_default().to_owned();
        let headers: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let cseq = headers.iter().find(|line| line.starts_with("CSeq")).cloned().unwrap_or_default();
        let rest = match method.as_str() {
            "DESCRIBE" => format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}", SDP.len()),
            "SETUP" => "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n".to_owned(),
            _ => "\r\n".to_owned(),
        };
        let mute = method == "PLAY";
        asked.lock().push(method);
        if !mute && write!(stream, "RTSP/1.0 200 OK\r\n{cseq}\r\n{rest}").is_err() {
            return;
        }
    }
}
