//! A camera that answers as a test demands, and records its requests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;

type Script = dyn Fn(&str, &str) -> Reply + Send + Sync;

/// Reaction to a request.
pub enum Reply {
    /// These bytes. `{cseq}` in them becomes the request's own line.
    Bytes(String),
    /// Nothing is said and the connection stays open.
    Silence,
    /// The connection ends.
    End,
}

impl Reply {
    /// A status line with `headers`, each ended by CRLF.
    pub fn status(status: u16, headers: &str) -> Self {
        Self::Bytes(format!("RTSP/1.0 {status} Text\r\n{{cseq}}\r\n{headers}\r\n"))
    }

    /// A session description with these streams.
    pub fn description(streams: &str) -> Self {
        let sdp = format!("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{streams}");
        let head = format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n", sdp.len());
        Self::Bytes(format!("RTSP/1.0 200 OK\r\n{{cseq}}\r\n{head}\r\n{sdp}"))
    }
}

pub struct Scripted {
    address: IpAddr,
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

impl Scripted {
    pub fn start(script: impl Fn(&str, &str) -> Reply + Send + Sync + 'static) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), script)
    }

    /// `script` answers a request by its method and its whole text.
    pub fn at(address: IpAddr, script: impl Fn(&str, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, connections) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<usize>>::default());
        let (script, requests, count): (Arc<Script>, _, _) = (Arc::new(script), asked.clone(), connections.clone());
        // Ends with the test process; a thread for each connection, and there are a few at most.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                *count.lock() += 1;
                let (script, requests) = (script.clone(), requests.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &*script, &requests));
            }
        });
        Self { address, port, asked, connections }
    }

    pub fn url(&self) -> String {
        format!("rtsp://{}:{}/cam1", self.address, self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Every request, with all its lines.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }

    pub fn connections(&self) -> usize {
        *self.connections.lock()
    }
}

fn serve(mut stream: TcpStream, script: &Script, asked: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    while let Some(request) = lines.next() {
        let method = request.split(' ').next().unwrap_or_default().to_owned();
        let headers: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let cseq = headers.iter().find(|line| line.to_ascii_lowercase().starts_with("cseq")).cloned();
        let text = format!("{request}\n{}", headers.join("\n"));
        asked.lock().push(text.clone());
        let written = match script(&method, &text) {
            Reply::Bytes(bytes) => stream.write_all(bytes.replace("{cseq}", &cseq.unwrap_or_default()).as_bytes()),
            Reply::Silence => Ok(()),
            // The reader has a handle of its own.
            Reply::End => return stream.shutdown(std::net::Shutdown::Both).unwrap_or(()),
        };
        if written.is_err() {
            return;
        }
    }
}
