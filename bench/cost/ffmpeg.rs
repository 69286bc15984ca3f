//! The other side: one ffmpeg for each camera, which a user would pick instead.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::meter::Group;
use super::pictures::PictureStream;
use crate::harness::eventually_in;
use crate::harness::process::spawn;

/// Container of the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    Ts,
    FragmentedMp4,
}

/// One ffmpeg for each camera, without decoding. They end when this is dropped.
pub struct Passthrough {
    children: Vec<Child>,
    playlists: Vec<PathBuf>,
    // Removed with all in it.
    _dir: tempfile::TempDir,
}

/// One ffmpeg that writes JPEG pictures.
pub struct Jpeg {
    child: Child,
    pub pictures: PictureStream,
}

fn command(url: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-rtsp_transport", "tcp", "-i", url])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn pid(child: &Child) -> u32 {
    child.id().expect("ffmpeg runs")
}

impl Passthrough {
    pub fn start(urls: &[String], container: Container) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut children = Vec::new();
        let mut playlists = Vec::new();
        for (n, url) in urls.iter().enumerate() {
            let own = dir.path().join(n.to_string());
            std::fs::create_dir(&own).expect("a directory");
            let playlist = own.join("index.m3u8");
            let mut command = command(url);
            command.args(["-c", "copy", "-f", "hls", "-hls_time", "2", "-hls_list_size", "6"]);
            command.args(["-hls_flags", "delete_segments"]);
            if container == Container::FragmentedMp4 {
                command.args(["-hls_segment_type", "fmp4"]);
            }
            children.push(spawn(command.arg(&playlist)));
            playlists.push(playlist);
        }
        Self { children, playlists, _dir: dir }
    }

    pub fn group(&self) -> Group {
        self.children.iter().map(|child| ("ffmpeg".to_owned(), pid(child))).collect()
    }

    /// Waits until each playlist is full.
    pub async fn until(&self, segments: usize, deadline: Duration) {
        let filled = |path: &PathBuf| segments_in(path) >= segments;
        let missing = async || self.playlists.iter().filter(|path| !filled(path)).count();
        eventually_in(deadline, "every playlist of ffmpeg to be filled (how many are not)", missing, |n| *n == 0).await;
    }
}

fn segments_in(playlist: &Path) -> usize {
    let text = std::fs::read_to_string(playlist).unwrap_or_default();
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count()
}

impl Jpeg {
    /// Pictures of quality `q` (2 to 31, smaller is better), after `filter`.
    pub fn start(url: &str, q: u32, filter: Option<&str>) -> Self {
        let mut command = command(url);
        if let Some(filter) = filter {
            command.args(["-vf", filter]);
        }
        command.args(["-f", "mjpeg", "-q:v", &q.to_string(), "pipe:1"]).stdout(Stdio::piped());
        let mut child = spawn(&mut command);
        let output = child.stdout.take().expect("standard output");
        Self { child, pictures: PictureStream::of_stream(output) }
    }

    pub fn group(&self) -> Group {
        vec![("ffmpeg".to_owned(), pid(&self.child))]
    }

    /// Ends it.
    pub async fn stop(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill().await;
    }
}
