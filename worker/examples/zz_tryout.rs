use bytes::Bytes;
use futures_util::future::BoxFuture;
use rsm_shared::bus::frames::Published;
use rsm_shared::stream::camera_link::{CameraUrl, Credentials};
use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::fence::{Epoch, Fence};
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::spec::*;
use rsm_shared::wire::frame_headers::FrameHeaders;
use rsm_worker::output::frames::FrameSink;
use rsm_worker::stream::engine::{Engine, Timing};
use rsm_worker::stream::supervisor::{StreamContext, spawn};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Sink {
    n: AtomicU64,
    lat: AtomicU64,
    first: Mutex<Option<Instant>>,
    last: Mutex<Option<(FrameHeaders, Bytes)>>,
    max: AtomicU64,
}
impl FrameSink for Sink {
    fn publish<'a>(&'a self, _: &'a Zone, _: &'a Slug, h: FrameHeaders, jpeg: Bytes) -> BoxFuture<'a, Published> {
        self.n.fetch_add(1, Ordering::Relaxed);
        let l = h.published_at_us.saturating_sub(h.captured_at_us);
        self.lat.fetch_add(l, Ordering::Relaxed);
        self.max.fetch_max(l, Ordering::Relaxed);
        self.first.lock().unwrap().get_or_insert(Instant::now());
        let mut last = self.last.lock().unwrap();
        if let Some((old, _)) = &*last {
            if old.fence == h.fence && old.seq >= h.seq {
                println!("SEQ BACK {} {}", old.seq, h.seq);
            }
        }
        *last = Some((h, jpeg));
        Box::pin(async { Published::Sent })
    }
    fn max_frame_bytes(&self) -> usize {
        1 << 20
    }
}
fn res() -> (usize, usize, u64, f64) {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let th = std::fs::read_dir("/proc/self/task").unwrap().count();
    let st = std::fs::read_to_string("/proc/self/status").unwrap();
    let rss = st.lines().find(|l| l.starts_with("VmRSS")).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let cpu = (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0;
    (fds, th, rss, cpu)
}
#[tokio::main]
async fn main() {
    tracing_subscriber_init();
    let a: Vec<String> = std::env::args().collect();
    let get = |k: &str, d: &str| a.iter().position(|x| x == k).map(|i| a[i + 1].clone()).unwrap_or(d.into());
    let has = |k: &str| a.iter().any(|x| x == k);
    rsm_worker::pipeline::elements::init().unwrap();
    let base = get("--url", "rtsp://127.0.0.1:8554/cam");
    let n: usize = get("--count", "1").parse().unwrap();
    let secs: u64 = get("--secs", "10").parse().unwrap();
    let cycles: usize = get("--cycles", "1").parse().unwrap();
    let root = PathBuf::from(get("--out", "/tmp/rsmw/hls"));
    let sink = Arc::new(Sink::default());
    let reg = prometheus::Registry::new();
    let metrics = Arc::new(rsm_worker::metrics::StreamMetrics::new(&reg).unwrap());
    let engine = Arc::new(Engine {
        frames: sink.clone(),
        hls_root: root.clone(),
        timing: Timing::default(),
        pacer: Default::default(),
        metrics,
        addresses: rsm_worker::source::open::AddressPolicy::any(),
        disk: rsm_worker::hls::disk::DiskUse::new(1 << 30),
        lingering: Default::default(),
    });
    for cycle in 0..cycles {
        let jpeg = has("--jpeg").then(|| JpegParams {
            max_fps: get("--fps", "10").parse().unwrap(),
            max_width: get("--width", "1280").parse().unwrap(),
            quality: 80,
        });
        let late: u64 = get("--late", "0").parse().unwrap();
        let want = Demand { jpeg, hls: has("--hls") };
        let (tx, rx) = tokio::sync::watch::channel(if late > 0 { Demand::default() } else { want });
        let mut hs = vec![];
        for i in 1..=n {
            let url = if has("--url") && !base.ends_with("/cam") { base.clone() } else { format!("{base}{i}") };
            let p = CameraUrl::parse(&url).unwrap();
            let transport = match get("--transport", "auto").as_str() {
                "udp" => Transport::Udp,
                "tcp" => Transport::Tcp,
                _ => Transport::Auto,
            };
            let h = spawn(StreamContext {
                slug: Slug::parse(&format!("cam{i}")).unwrap(),
                zone: Zone::default_zone(),
                fence: Fence { epoch: Epoch(1000 + cycle as u64), revision: 1 },
                spec: StreamSpec {
                    url: p.url,
                    credentials: p.username.map(|u| Credentials { username: u, password: p.password.unwrap() }),
                    transport,
                    hls: HlsParams { segment_seconds: get("--seg", "2").parse().unwrap(), window_segments: 6 },
                },
                first_media_sequence: 100,
                first_discontinuity_sequence: 5,
                demand: rx.clone(),
                engine: engine.clone(),
            });
            let mut st = h.status();
            let quiet = n > 4;
            let t0 = Instant::now();
            tokio::spawn(async move {
                while st.changed().await.is_ok() {
                    let s = st.borrow_and_update().clone();
                    if !quiet {
                        let (m, d) = (s.media_sequence(), s.discontinuity_sequence());
                        println!(
                            "[{:.2}] {} {:?} {:?} v={:?} r={} hls={:?} ms={} ds={}",
                            t0.elapsed().as_secs_f64(),
                            i,
                            s.state,
                            s.reason.map(|r| (r.code.as_str(), r.text)),
                            s.video.map(|v| (v.rfc6381, v.width, v.height, v.fps, v.bitrate)),
                            s.restarts,
                            s.hls_error,
                            m,
                            d
                        );
                    }
                }
            });
            hs.push(h);
        }
        if late > 0 {
            tokio::time::sleep(Duration::from_secs(late)).await;
            *sink.first.lock().unwrap() = None;
            let t = Instant::now();
            tx.send(want).unwrap();
            for _ in 0..1000 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                if sink.first.lock().unwrap().is_some() {
                    break;
                }
            }
            println!("first jpeg after demand: {:?}", sink.first.lock().unwrap().map(|f| f - t));
            let idx = root.join("cam1/").join(format!("{}-1/index.m3u8", 1000 + cycle));
            if want.hls {
                for _ in 0..2000 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    if idx.exists() {
                        break;
                    }
                }
                println!("first playlist after demand: {:?}", t.elapsed());
            }
            if let Some((h, _)) = &*sink.last.lock().unwrap() {
                println!("age at publish of last {} us seq {}", h.published_at_us - h.captured_at_us, h.seq);
            }
        }
        tokio::time::sleep(Duration::from_millis(if secs > 3 { 2000 } else { 0 })).await;
        let (b, t) = (res(), Instant::now());
        sink.n.store(0, Ordering::Relaxed);
        sink.lat.store(0, Ordering::Relaxed);
        sink.max.store(0, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(secs)).await;
        let r = res();
        let running =
            hs.iter().filter(|h| h.status().borrow().state == rsm_shared::stream::state::StreamState::Running).count();
        let f = sink.n.load(Ordering::Relaxed);
        println!(
            "cycle {cycle}: running {running}/{n} cpu/stream {:.3}% fds {} threads {} rss {} kB frames {} ({:.1}/s) mean lat {} us max {} us last {:?} age {:?}",
            (r.3 - b.3) / t.elapsed().as_secs_f64() * 100.0 / n as f64,
            r.0,
            r.1,
            r.2,
            f,
            f as f64 / t.elapsed().as_secs_f64(),
            sink.lat.load(Ordering::Relaxed) / f.max(1),
            sink.max.load(Ordering::Relaxed),
            sink.last.lock().unwrap().as_ref().map(|(h, d)| (h.seq, h.width, h.height, d.len())),
            hs[0].status().borrow().last_media_age()
        );
        if let Some((_, d)) = &*sink.last.lock().unwrap() {
            std::fs::write("/tmp/rsmw/last.jpg", d).unwrap();
        }
        if has("--keep") {
            let src = root.join("cam1");
            let _ = std::process::Command::new("cp").args(["-r", src.to_str().unwrap(), "/tmp/rsmw/kept"]).status();
        }
        let t = Instant::now();
        for h in &hs {
            h.stop();
        }
        for h in hs {
            h.stopped().await;
        }
        let r = res();
        println!("  stopped in {:?}: fds {} threads {} rss {} kB", t.elapsed(), r.0, r.1, r.2);
    }
    let t = Instant::now();
    engine.lingering.close().await;
    println!(
        "lingering closed {:?}, left: {:?}, disk {}",
        t.elapsed(),
        std::fs::read_dir(&root).map(|d| d.count()),
        engine.disk.used()
    );
    tokio::time::sleep(Duration::from_secs(if cycles > 1 { 12 } else { 0 })).await;
    println!(
        "end {:?}; series left {}",
        res(),
        prometheus::TextEncoder::new().encode_to_string(&reg.gather()).unwrap().matches("stream=").count()
    );
}
fn tracing_subscriber_init() {
    struct S;
    impl tracing::Subscriber for S {
        fn enabled(&self, m: &tracing::Metadata<'_>) -> bool {
            m.target().starts_with("rsm")
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, e: &tracing::Event<'_>) {
            struct V(String);
            impl tracing::field::Visit for V {
                fn record_debug(&mut self, f: &tracing::field::Field, v: &dyn std::fmt::Debug) {
                    self.0 += &format!(" {}={:?}", f.name(), v);
                }
            }
            let mut v = V(String::new());
            e.record(&mut v);
            println!("LOG {} {}", e.metadata().level(), v.0);
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }
    if std::env::var("LOG").is_ok() {
        let _ = tracing::subscriber::set_global_default(S);
    }
}
