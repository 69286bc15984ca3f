//! An RTSP server that plays a scene: answers each request by script, sends the scene's bytes, and records its
//! requests. No codec, no GStreamer.

pub mod media;
mod request;
pub mod scene;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use request::Request;
use scene::{Act, Scene, SceneEnd, Step};

#[derive(Default)]
struct Seen {
    requests: Vec<Request>,
    connections: usize,
}

/// Ends when it is dropped, with all its connections.
pub struct ScriptedCamera {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl ScriptedCamera {
    /// The first connection gets the first scene, and so on; the last scene is for all that come later.
    pub async fn start(scenes: Vec<Scene>) -> Self {
        assert!(!scenes.is_empty());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn(accept(listener, scenes, seen.clone()));
        Self { address, seen, task }
    }

    /// The link, with `user_info` such as `name:password@`.
    pub fn url(&self, user_info: &str) -> String {
        format!("rtsp://{user_info}{}/cam1", self.address)
    }

    pub fn connections(&self) -> usize {
        self.seen.lock().connections
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().requests.clone()
    }

    /// Number of requests with this method.
    pub fn asked(&self, method: &str) -> usize {
        self.seen.lock().requests.iter().filter(|request| request.method == method).count()
    }
}

impl Drop for ScriptedCamera {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, scenes: Vec<Scene>, seen: Arc<Mutex<Seen>>) {
    let scenes: Vec<_> = scenes.into_iter().map(Arc::new).collect();
    let mut open = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let number = std::mem::replace(&mut seen.lock().connections, 0);
        seen.lock().connections = number + 1;
        let scene = scenes[number.min(scenes.len() - 1)].clone();
        open.spawn(serve(socket, scene, seen.clone()));
        while open.try_join_next().is_some() {}
    }
}

/// One connection, until the scene or the other side ends it.
async fn serve(socket: TcpStream, scene: Arc<Scene>, seen: Arc<Mutex<Seen>>) {
    socket.set_nodelay(true).unwrap();
    if scene.greeting.is_none() && scene.end_at_once {
        return;
    }
    let (reader, mut writer) = socket.into_split();
    if let Some(greeting) = &scene.greeting {
        // The other side may be gone; so is this connection then.
        let _ = writer.write_all(greeting).await;
        if scene.end_at_once {
            return;
        }
    }
    let mut reader = BufReader::new(reader);
    while let Some(request) = read(&mut reader).await {
        seen.lock().requests.push(request.clone());
        let act = scene.act(&request);
        let played = request.method == "PLAY" && matches!(act, Act::Answer);
        if !perform(&mut writer, act, &scene, &request).await {
            return;
        }
        if played {
            play(reader, writer, scene, seen).await;
            return;
        }
    }
}

/// Media one way, while requests are still answered the other way.
async fn play(
    mut reader: BufReader<OwnedReadHalf>,
    mut writer: OwnedWriteHalf,
    scene: Arc<Scene>,
    seen: Arc<Mutex<Seen>>,
) {
    let (requests, mut came) = tokio::sync::mpsc::channel(8);
    let reading = async move {
        while let Some(request) = read(&mut reader).await {
            seen.lock().requests.push(request.clone());
            if requests.send(request).await.is_err() {
                return;
            }
        }
    };
    let script = scene.clone();
    let writing = async move {
        let mut steps = script.media.iter();
        let mut pause = Duration::ZERO;
        loop {
            // A timer would take a millisecond even for nothing.
            let request = match pause.is_zero() {
                true => came.try_recv().ok(),
                false => match tokio::time::timeout(pause, came.recv()).await {
                    Ok(None) => return,
                    Ok(request) => request,
                    Err(_) => None,
                },
            };
            if let Some(request) = request {
                let act = script.act(&request);
                if !perform(&mut writer, act, &script, &request).await || request.method == "TEARDOWN" {
                    return;
                }
                continue;
            }
            pause = Duration::ZERO;
            match steps.next() {
                Some(Step::Send(bytes)) => {
                    if writer.write_all(bytes).await.is_err() {
                        return;
                    }
                }
                Some(Step::Wait(time)) => pause = *time,
                None => match script.end {
                    SceneEnd::Close => return,
                    SceneEnd::Silence => pause = Duration::from_secs(3600),
                    SceneEnd::Again => steps = script.media.iter(),
                },
            }
        }
    };
    tokio::join!(reading, writing);
}

async fn read(reader: &mut BufReader<OwnedReadHalf>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        // Interleaved receiver reports of the client would come here; the clients at hand send none.
        if reader.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" if lines.is_empty() => continue,
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines[0].split(' ');
    let (method, uri) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines[1..].iter().filter_map(|line| line.split_once(':'));
    let headers: Vec<_> = headers.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect();
    let request = Request { method, uri, headers };
    let length: u64 = request.header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0);
    tokio::io::copy(&mut reader.take(length), &mut tokio::io::sink()).await.ok()?;
    Some(request)
}

/// `false` when the connection is over.
async fn perform(writer: &mut OwnedWriteHalf, act: Act, scene: &Scene, request: &Request) -> bool {
    match act {
        Act::Answer => writer.write_all(scene.answer(request).as_bytes()).await.is_ok(),
        Act::Status(status, headers) => {
            writer.write_all(scene.status(request, status, &headers).as_bytes()).await.is_ok()
        }
        Act::Raw(bytes) => writer.write_all(&bytes).await.is_ok(),
        Act::Drip(pause) => {
            for byte in scene.answer(request).bytes() {
                if writer.write_all(&[byte]).await.is_err() {
                    return false;
                }
                tokio::time::sleep(pause).await;
            }
            true
        }
        Act::Silence => true,
        Act::Close => false,
        Act::Reset => {
            // The peer sees a reset when its data is unread, or at once with no linger.
            let _ = socket2::SockRef::from(writer.as_ref()).set_linger(Some(Duration::ZERO));
            false
        }
    }
}
