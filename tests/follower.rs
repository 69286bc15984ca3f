//! A player without a screen: follows one playlist of a stream, fetches all that it lists, and keeps the errors.

use std::collections::{BTreeMap, HashMap};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::harness::eventually;
use crate::harness::system::System;

/// Between two looks at the playlist.
const LOOK: Duration = Duration::from_millis(200);
/// Largest difference between the end of a segment by EXT-X-PROGRAM-DATE-TIME and the time at which it is listed: far
/// beyond its making on a busy machine, far below the jumps of a camera's clock.
const NEAR: Duration = Duration::from_secs(60);

/// A segment as it was listed first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// Discontinuity Sequence Number.
    pub run: u64,
    pub map: String,
    /// Seconds.
    pub duration: f64,
    pub gap: bool,
}

/// Observations of a playlist.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// By media sequence number.
    pub segments: BTreeMap<u64, Segment>,
    /// Errors.
    pub wrong: Vec<String>,
    /// Media Sequence Number and Discontinuity Sequence Number of the newest playlist.
    newest: (u64, u64),
    /// Files that were fetched, by their address.
    files: HashMap<String, Vec<u8>>,
    addresses: BTreeMap<u64, String>,
}

impl Followed {
    /// The number of the newest segment.
    pub fn last(&self) -> u64 {
        self.segments.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// Breaks between the segments that were seen.
    pub fn breaks(&self) -> u64 {
        let runs = self.segments.values().map(|segment| segment.run);
        runs.clone().max().unwrap_or(0) - runs.min().unwrap_or(0)
    }

    /// Takes a playlist that was there at `now`; gives the addresses that are new. The numbers of `sound` follow those of
    /// the pictures, and behind a break begin with the first segment for which it came in time.
    fn take(&mut self, text: &str, now: SystemTime, sound: bool) -> Vec<String> {
        let listed = read(text);
        let numbers = (number(text, "#EXT-X-MEDIA-SEQUENCE:"), number(text, "#EXT-X-DISCONTINUITY-SEQUENCE:"));
        if numbers.0 < self.newest.0 || numbers.1 < self.newest.1 {
            self.wrong.push(format!("numbers went from {:?} to {numbers:?}", self.newest));
        }
        self.newest = numbers;
        let known = self.last();
        let mut wanted = Vec::new();
        for (sequence, line) in (numbers.0..).zip(listed) {
            let segment = line.segment;
            match self.segments.get(&sequence) {
                Some(before) if *before != segment => {
                    self.wrong.push(format!("segment {sequence} was {before:?} and is {segment:?}"));
                }
                Some(_) => {}
                None => {
                    if let Some((last, before)) = self.segments.last_key_value()
                        && sequence != last + 1
                        && !(sound && before.run < segment.run)
                    {
                        self.wrong.push(format!("segment {sequence} follows {last}"));
                    }
                    let end = line.at + Duration::from_secs_f64(segment.duration);
                    let off = now.duration_since(end).unwrap_or_else(|e| e.duration());
                    // Segments from before the first request are older.
                    if known > 0 && off > NEAR {
                        self.wrong.push(format!("segment {sequence} ends at {end:?}, and it is {now:?}"));
                    }
                    if !segment.gap {
                        wanted.extend([segment.map.clone(), line.address.clone()]);
                        self.addresses.insert(sequence, line.address);
                    }
                    self.segments.insert(sequence, segment);
                }
            }
        }
        wanted.retain(|address| !self.files.contains_key(address));
        wanted
    }

    /// Stretches without a discontinuity, each as one file.
    fn runs(&self) -> Vec<Vec<u8>> {
        let mut runs: Vec<((u64, &str), Vec<u8>)> = Vec::new();
        for (sequence, segment) in self.segments.iter().filter(|(_, segment)| !segment.gap) {
            let key = (segment.run, segment.map.as_str());
            if runs.last().is_none_or(|(last, _)| *last != key) {
                runs.push((key, self.files.get(&segment.map).cloned().unwrap_or_default()));
            }
            let (Some((_, bytes)), Some(address)) = (runs.last_mut(), self.addresses.get(sequence)) else { continue };
            bytes.extend(self.files.get(address).into_iter().flatten());
        }
        runs.into_iter().map(|(_, bytes)| bytes).collect()
    }
}

/// Follows until it is dropped.
pub struct Follower {
    seen: Arc<Mutex<Followed>>,
    task: JoinHandle<()>,
    what: String,
}

impl Follower {
    /// Asks for HLS of the stream, and waits until `name` (`source.m3u8`, `audio.m3u8`) lists something.
    pub async fn open(system: &System, slug: &str, id: i64, name: &str) -> Self {
        system.json(&format!("/video/{slug}/")).await;
        let (http, address) = (system.http.clone(), system.url(&format!("/video/play/{id}/")));
        let there = async || match http.get(format!("{address}{name}")).send().await {
            Ok(answer) => answer.status().as_u16(),
            Err(_) => 0,
        };
        let what = format!("{name} of {slug}");
        eventually(&format!("{what}\n{}", system.log.text()), there, |status| *status == 200).await;
        let seen = Arc::<Mutex<Followed>>::default();
        let task = tokio::spawn(follow(http, address, name.to_owned(), seen.clone()));
        let follower = Self { seen, task, what };
        follower.more(1).await;
        follower
    }

    pub fn seen(&self) -> Followed {
        self.seen.lock().clone()
    }

    /// Numbers of segments and discontinuities, and the errors.
    fn brief(&self) -> (usize, u64, Vec<String>) {
        let seen = self.seen.lock();
        (seen.segments.len(), seen.breaks(), seen.wrong.clone())
    }

    /// Waits for `count` more segments.
    pub async fn more(&self, count: usize) {
        let before = self.brief().0;
        let what = format!("{count} more segments of {}", self.what);
        eventually(&what, async || self.brief(), |(now, ..)| *now >= before + count).await;
    }

    /// Waits until `breaks` discontinuities were seen.
    pub async fn breaks(&self, breaks: u64) {
        let what = format!("{breaks} breaks in {}", self.what);
        eventually(&what, async || self.brief(), |(_, seen, _)| *seen >= breaks).await;
    }

    /// Ends it: nothing was wrong, and all of it decodes without a word.
    pub async fn fine(self) -> Followed {
        self.task.abort();
        let seen = self.seen();
        assert!(seen.wrong.is_empty(), "{}: {:#?}\n{:#?}", self.what, seen.wrong, seen.segments);
        for run in seen.runs() {
            let said = decode(&run).await;
            assert!(said.is_empty(), "{}: ffmpeg says: {said}\n{:#?}", self.what, seen.segments);
        }
        seen
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(http: reqwest::Client, address: String, name: String, seen: Arc<Mutex<Followed>>) {
    let wrong = |text: String| seen.lock().wrong.push(text);
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        let text = match fetch(&http, &format!("{address}{name}")).await {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                wrong(format!("the playlist: {error}"));
                continue;
            }
        };
        let wanted = seen.lock().take(&text, SystemTime::now(), name == "audio.m3u8");
        for file in wanted {
            match fetch(&http, &format!("{address}{file}")).await {
                Ok(bytes) => drop(seen.lock().files.insert(file, bytes)),
                Err(error) => wrong(format!("{file}: {error}")),
            }
        }
    }
}

async fn fetch(http: &reqwest::Client, url: &str) -> Result<Vec<u8>, String> {
    let answer = http.get(url).send().await.map_err(|e| e.to_string())?;
    match answer.status().is_success() {
        true => answer.bytes().await.map(|bytes| bytes.to_vec()).map_err(|e| e.to_string()),
        false => Err(answer.status().to_string()),
    }
}

struct Line {
    segment: Segment,
    address: String,
    at: SystemTime,
}

/// The whole segments of a playlist.
fn read(text: &str) -> Vec<Line> {
    let (mut segment, mut at) =
        (Segment { run: number(text, "#EXT-X-DISCONTINUITY-SEQUENCE:"), ..Segment::default() }, None);
    let mut listed = Vec::new();
    for line in text.lines() {
        if line == "#EXT-X-DISCONTINUITY" {
            segment.run += 1;
        } else if line == "#EXT-X-GAP" {
            segment.gap = true;
        } else if let Some(rest) = line.strip_prefix("#EXT-X-MAP:URI=\"") {
            segment.map = rest.trim_end_matches('"').to_owned();
        } else if let Some(time) = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:") {
            at = Some(time.parse::<Timestamp>().unwrap().try_into().unwrap());
        } else if let Some(seconds) = line.strip_prefix("#EXTINF:") {
            segment.duration = seconds.trim_end_matches(',').parse().unwrap();
        } else if !line.starts_with('#') && !line.is_empty() {
            let at = at.take().expect("EXT-X-PROGRAM-DATE-TIME before each segment");
            listed.push(Line { segment: segment.clone(), address: line.to_owned(), at });
            segment.gap = false;
        }
    }
    listed
}

fn number(text: &str, tag: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(tag)).map_or(0, |value| value.parse().unwrap())
}

/// Complaints of ffmpeg while it decodes all of it.
async fn decode(bytes: &[u8]) -> String {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-v", "warning", "-xerror", "-i", "pipe:0"]);
    // Pictures keep their times: at a guessed frame rate, two that are close would fall on one.
    command.args(["-fps_mode", "passthrough", "-enc_time_base", "1:90000", "-f", "null", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let write = async move {
        // It may have ended already; then it says why.
        let _ = input.write_all(bytes).await;
        drop(input);
    };
    let ((), output) = crate::harness::within("ffmpeg", async { tokio::join!(write, child.wait_with_output()) }).await;
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { said } else { format!("{}: {said}", output.status) }
}
