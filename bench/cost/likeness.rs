//! Likeness of JPEG pictures to the camera's own: SSIM as ffmpeg measures it, frame by frame, matched by the number in
//! the clock row.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use rsm_simulator::clock_row;
use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::process::Command;

use crate::harness::process::spawn;
use crate::harness::viewer::frame_number;

/// Pictures that must be comparable for a figure.
const LEAST: usize = 3;
/// Recording, decoding and comparing one clip, each.
const DEADLINE: Duration = Duration::from_secs(120);

/// The camera's clip, as it sends it.
pub struct Reference {
    dir: tempfile::TempDir,
}

impl Reference {
    /// Records one lap of the camera at `url`.
    pub async fn record(url: &str, clip_seconds: u32) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let seconds = (clip_seconds + 2).to_string();
        let mut command = ffmpeg();
        command.args(["-rtsp_transport", "tcp", "-i", url, "-t", &seconds, "-c", "copy"]);
        run(command.arg(dir.path().join("clip.mp4"))).await;
        Self { dir }
    }

    /// Mean SSIM over all planes; all pictures are of the same size.
    pub async fn likeness(&self, pictures: &[Vec<u8>]) -> f64 {
        let pictures: BTreeMap<u32, &Vec<u8>> =
            pictures.iter().filter_map(|jpeg| Some((frame_number(jpeg)?, jpeg))).collect();
        assert!(pictures.len() >= LEAST, "only {} pictures show their number", pictures.len());
        let first = pictures.values().next().expect("a picture");
        let decoded = image::load_from_memory_with_format(first, image::ImageFormat::Jpeg).expect("a JPEG");
        let size = (decoded.width() as usize, decoded.height() as usize);
        let frames = self.frames(&pictures, size).await;
        let dir = tempfile::tempdir().expect("a directory");
        let mut raw = Vec::new();
        for (n, (number, jpeg)) in pictures.iter().filter(|(number, _)| frames.contains_key(*number)).enumerate() {
            raw.extend_from_slice(&frames[number]);
            std::fs::write(dir.path().join(format!("{n:03}.jpg")), jpeg).expect("a file");
        }
        std::fs::write(dir.path().join("reference.yuv"), raw).expect("a file");
        compare(dir.path(), size).await
    }

    /// The clip's pictures of those numbers, I420 of that size.
    async fn frames<T>(&self, wanted: &BTreeMap<u32, T>, (width, height): (usize, usize)) -> BTreeMap<u32, Vec<u8>> {
        let scale = format!("scale={width}:{height}:flags=lanczos,format=yuv420p");
        let mut command = ffmpeg();
        command.arg("-i").arg(self.dir.path().join("clip.mp4"));
        command.args(["-fps_mode", "passthrough", "-vf", &scale, "-f", "rawvideo", "pipe:1"]);
        let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut output = BufReader::new(child.stdout.take().expect("standard output"));
        let mut found = BTreeMap::new();
        let mut frame = vec![0; width * height * 3 / 2];
        let all = async {
            while found.len() < wanted.len() && output.read_exact(&mut frame).await.is_ok() {
                if let Some(number) = clock_row::decode(&frame, width, height, width)
                    && wanted.contains_key(&number)
                {
                    found.entry(number).or_insert_with(|| frame.clone());
                }
            }
        };
        tokio::time::timeout(DEADLINE, all).await.expect("the clip is decoded in time");
        assert!(found.len() >= LEAST, "only {} pictures are in the recording", found.len());
        found
    }
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-y"]).stdin(Stdio::null());
    command
}

async fn run(command: &mut Command) -> Output {
    let child = spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()));
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await.expect("ffmpeg ends in time");
    let output = output.expect("ffmpeg runs");
    assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A JPEG has the full range of levels (JFIF), the camera's pictures have the range of video.
async fn compare(dir: &Path, (width, height): (usize, usize)) -> f64 {
    let mut command = ffmpeg();
    command.arg("-i").arg(dir.join("%03d.jpg"));
    command.args(["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &format!("{width}x{height}"), "-i"]);
    command.arg(dir.join("reference.yuv"));
    let graph = "[0:v]scale=in_range=full:out_range=tv,format=yuv420p[seen];[seen][1:v]ssim";
    command.args(["-lavfi", graph, "-f", "null", "-"]);
    let output = run(&mut command).await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let all = text.rsplit("All:").next().and_then(|rest| rest.split_whitespace().next());
    all.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no SSIM: {text}"))
}
