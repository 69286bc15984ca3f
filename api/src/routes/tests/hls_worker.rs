//! A worker's server for HLS, as another machine would have it.

use std::collections::HashMap;

use rsm_shared::ops::listener;
use rsm_shared::stream::state::StreamState;
use salvo::Server;
use salvo::prelude::{Depot, FlowCtrl, Handler, Request, Response as Written, Router, StatusCode};

use super::*;

pub const INDEX: &str = "#EXTM3U\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",DEFAULT=YES,URI=\"audio.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.42c01e\",AUDIO=\"audio\"\n360p.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=9,CODECS=\"avc1.64001f\",AUDIO=\"audio\"\nsource.m3u8\n";

/// Files by path and query, and how often each was asked for. A playlist that has to be waited for, or a part, is
/// answered when it is put; anything else that is not there, with 404.
#[derive(Clone)]
pub struct Worker(Arc<watch::Sender<HashMap<String, Asked>>>);

#[derive(Default)]
struct Asked {
    body: Option<(StatusCode, Vec<u8>)>,
    times: usize,
}

impl Default for Worker {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(HashMap::new())))
    }
}

#[salvo::async_trait]
impl Handler for Worker {
    async fn handle(&self, request: &mut Request, _: &mut Depot, response: &mut Written, _: &mut FlowCtrl) {
        let path = request.uri().path_and_query().unwrap().as_str().to_owned();
        let file = path.rsplit('/').next().unwrap();
        let waits = file.contains("_HLS_msn") || file.matches('.').count() == 2;
        let mut files = self.0.subscribe();
        self.0.send_modify(|files| files.entry(path.clone()).or_default().times += 1);
        if waits {
            let _ = files.wait_for(|files| files[&path].body.is_some()).await;
        } else {
            // Long enough for others to ask for the same meanwhile.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let found = self.0.borrow()[&path].body.clone();
        match found {
            Some((status, body)) => {
                if status == StatusCode::FOUND {
                    let _ = response.add_header("location", "/hls/secret", true);
                }
                response.status_code(status);
                let _ = response.write_body(body);
            }
            None => drop(response.status_code(StatusCode::NOT_FOUND)),
        }
    }
}

impl Worker {
    /// Where it listens: `host:port`.
    pub async fn start(&self) -> String {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap().to_string();
        let server = Server::new(listener::acceptor(tcp).unwrap());
        tokio::spawn(server.try_serve(Router::with_path("{**path}").goal(self.clone())));
        address
    }

    pub fn put(&self, path: String, body: impl Into<Vec<u8>>) {
        self.answer(path, 200, body);
    }

    pub fn answer(&self, path: String, status: u16, body: impl Into<Vec<u8>>) {
        let body = Some((StatusCode::from_u16(status).unwrap(), body.into()));
        self.0.send_modify(|files| files.entry(path).or_default().body = body);
    }

    pub fn asked(&self, path: &str) -> usize {
        self.0.borrow().get(path).map_or(0, |asked| asked.times)
    }

    /// Waits until it is asked for that.
    pub async fn until_asked(&self, path: &str) {
        until(path, || self.asked(path), |times| *times > 0).await;
    }

    /// The files of an owner: playlists and one segment.
    pub fn write(&self, entry: &Entry, owner: &str) {
        let dir = format!("/hls/{}/{owner}", entry.slug);
        self.put(format!("{dir}/index.m3u8"), INDEX);
        for rendition in ["source", "audio"] {
            self.put(format!("{dir}/{rendition}.m3u8"), media_playlist(owner, rendition));
        }
        self.put(format!("{dir}/source/7.m4s"), format!("segment of {owner}"));
    }
}

pub fn media_playlist(owner: &str, rendition: &str) -> String {
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{owner}/{rendition}/7.m4s\n")
}

pub fn own(api: &Api, entry: &Entry, fence: Fence, http: &str) {
    api.show(entry, |view| {
        view.state = StreamState::Running;
        view.fence = Some(fence);
        view.http = Some(http.to_owned());
    });
}
