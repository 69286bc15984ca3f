//! The cost of a scrape by Prometheus: a worker's metrics with a thousand streams, over HTTP, while they count.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsm_shared::ops::health::Health;
use rsm_shared::ops::{listener, metrics};
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::state::ReasonCode;
use rsm_worker::metrics::{FrameLoss, StreamSeries, WorkerMetrics};
use tokio_util::sync::CancellationToken;

use crate::table::line;

const STREAMS: usize = 1000;
const SCRAPES: usize = 200;

/// Prints how long a scrape takes.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own counts pictures, and a measurement that hangs is seen"
)]
pub async fn scrape() {
    let health = Health::default();
    let (registry, _) = metrics::registry("bench", &health).expect("a registry");
    let worker = Arc::new(WorkerMetrics::new(&registry).expect("metrics"));
    let series = (0..STREAMS).map(|n| worker.stream(&Slug::parse(&format!("camera-{n}")).expect("a slug")));
    let series: Vec<StreamSeries> = series.collect();
    series.iter().for_each(count);
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/metrics", tcp.local_addr().expect("an address"));
    let stop = CancellationToken::new();
    let served = tokio::spawn(listener::serve(tcp, listener::routes(health, registry), stop.clone()));
    // Each stream has 30 pictures each second.
    let counting = stop.clone();
    let counter = std::thread::spawn(move || {
        while !counting.is_cancelled() {
            series.iter().for_each(count);
            std::thread::sleep(Duration::from_millis(33));
        }
    });
    let client = reqwest::Client::new();
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..SCRAPES {
        let begun = Instant::now();
        let text = client.get(&url).send().await.expect("an answer").bytes().await.expect("a body");
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        bytes = text.len();
    }
    stop.cancel();
    let _ = served.await;
    let _ = counter.join();
    times.sort_by(f64::total_cmp);
    let text = format!("{:.1} / {:.1} ms", times[times.len() / 2], times[times.len() * 99 / 100]);
    let what = format!("scrape of {STREAMS} streams, {} kB (median / p99)", bytes / 1000);
    line(&what, &text, "50 ms");
}

fn count(stream: &StreamSeries) {
    stream.ingested(4000);
    stream.published(30_000);
    stream.encoded(Duration::from_millis(4));
    stream.hls_segment(500_000);
    stream.restarted(ReasonCode::Stalled);
    stream.dropped(FrameLoss::Superseded, 1);
    stream.output_failed("jpeg");
}
