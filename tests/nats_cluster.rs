//! A farm on three nats-servers: running streams when servers go.

use serde_json::{Value, json};

use crate::harness::camera::Camera;
use crate::harness::cluster::{Cluster, environment};
use crate::harness::service::Service;
use crate::harness::viewer::JpegViewer;

/// Streams that run all the time.
const STREAMS: usize = 3;

struct Farm {
    cluster: Cluster,
    camera: Camera,
    api: Service,
    workers: Vec<Service>,
    slugs: Vec<String>,
    viewer: JpegViewer,
    _dirs: Vec<tempfile::TempDir>,
}

impl Farm {
    /// With every stream running, one of them watched.
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        // One more than run at first: it is started later.
        let count = (STREAMS + 4).to_string();
        let camera = Camera::start_with(0, &["--count", &count], None).await;
        let dirs: Vec<tempfile::TempDir> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let urls = cluster.urls();
        let mut api = environment(&urls, "api");
        api.push(("RSM__NATS__REPLICAS", "3".into()));
        // As docs/farm.md advises: a machine that vanishes takes its clients longer than one that says goodbye.
        api.push(("RSM__CONTROL__WORKER_DEAD_S", "10".into()));
        // A stream that moves does so because of the cluster.
        api.push(("RSM__CONTROL__REBALANCE", "false".into()));
        let api = Service::api(dirs[0].path(), &api).await;
        let mut workers = Vec::new();
        for (n, dir) in dirs[1..].iter().enumerate() {
            let name = format!("w{}", n + 1);
            workers.push(Service::worker(&name, dir.path(), &environment(&urls, "worker-default")).await);
        }
        api.until_ready().await;
        let mut slugs = Vec::new();
        for url in &camera.urls[..STREAMS] {
            slugs.push(api.add(&json!({ "url": url, "always_on": true })).await);
        }
        for slug in &slugs {
            api.until_state(slug, "running").await;
        }
        let mut viewer = JpegViewer::try_open_at(&api.base, &slugs[0]).await.unwrap();
        viewer.frame_number().await;
        cluster.until_current().await;
        Self { cluster, camera, api, workers, slugs, viewer, _dirs: dirs }
    }

    /// The values that must not change: owner and epoch of each stream, and the number of times its camera was opened.
    async fn placements(&self) -> Vec<Value> {
        let cameras = self.camera.command("status").await["cameras"].clone();
        let mut all = Vec::new();
        for (n, slug) in self.slugs.iter().enumerate() {
            let status = self.api.until_state(slug, "running").await;
            all.push(json!([slug, status["worker"], status["epoch"], status["restarts"], cameras[n]["played_total"]]));
        }
        all
    }

    /// Frames go on, and so many of them have come since.
    async fn frames(&mut self, count: usize) {
        for _ in 0..count {
            self.viewer.frame_number().await;
        }
    }

    /// Commands get through: a stream that is added now begins to run.
    async fn a_new_stream_starts(&mut self) {
        let url = &self.camera.urls[self.slugs.len()];
        let slug = self.api.add(&json!({ "url": url, "always_on": true })).await;
        self.api.until_state(&slug, "running").await;
        self.slugs.push(slug);
    }
}

#[tokio::test]
async fn leaders_that_die_move_no_stream_and_open_no_camera_again() {
    let mut farm = Farm::start().await;
    let said = farm.api.log.text().matches("is older than is advised for clusters").count();
    let server = farm.cluster.client("api").await.server_info().version;
    assert_eq!(said, usize::from(server.starts_with("2.9.1")), "one line with {server}");

    for stream in ["KV_RSM_DESIRED", "RSM_CMD"] {
        let before = farm.placements().await;
        let leader = farm.cluster.leader(stream).await.expect("a leader");
        farm.cluster.kill(leader).await;
        farm.frames(20).await;
        // With two of three nodes, once there is a new leader.
        farm.a_new_stream_starts().await;
        farm.cluster.restart(leader).await;
        farm.cluster.until_current().await;
        farm.frames(20).await;
        farm.api.until_ready().await;
        let after = farm.placements().await;
        assert_eq!(after[..before.len()], before, "after the death of the leader of {stream}");
    }
}

#[tokio::test]
async fn a_queue_without_a_leader_is_made_anew_and_hands_its_tickets_out() {
    let mut farm = Farm::start().await;
    let before = farm.placements().await;
    // A cluster may come to this by itself when nodes go one after the other. Its streams keep their majority.
    let only = farm.cluster.leave_one_copy("start_default_lo").await;
    farm.cluster.kill(only).await;
    farm.a_new_stream_starts().await;
    let log = farm.api.log.text();
    let told = |line: &&str| line.contains("start_default_lo") && line.contains("it has no leader");
    assert_eq!(log.lines().filter(told).count(), 1, "{log}");
    farm.cluster.restart(only).await;
    farm.cluster.until_current().await;
    farm.api.until_ready().await;
    farm.a_new_stream_starts().await;
    assert_eq!(farm.placements().await[..before.len()], before);
}

#[tokio::test]
async fn an_upgrade_one_node_at_a_time_moves_no_stream_and_opens_no_camera_again() {
    let mut farm = Farm::start().await;
    let before = farm.placements().await;
    for node in 0..3 {
        farm.cluster.stop(node).await;
        farm.frames(10).await;
        farm.cluster.restart(node).await;
        farm.cluster.until_current().await;
    }
    farm.frames(20).await;
    farm.api.until_ready().await;
    assert_eq!(farm.placements().await, before);
    farm.a_new_stream_starts().await;
}

#[tokio::test]
async fn without_a_quorum_running_streams_go_on_and_new_ones_start_once_it_is_back() {
    let mut farm = Farm::start().await;
    let before = farm.placements().await;
    // Two machines vanish: no connection is closed, nothing answers.
    for node in 1..3 {
        farm.cluster.nodes[node].freeze();
    }
    farm.api.until_unready("nats").await;
    // Ten seconds of pictures, once clients of these nodes have connected elsewhere.
    farm.frames(100).await;
    for worker in &farm.workers {
        worker.until_ready().await;
    }
    for node in 1..3 {
        farm.cluster.nodes[node].thaw();
    }
    farm.cluster.until_whole().await;
    farm.cluster.until_current().await;
    farm.api.until_ready().await;
    farm.frames(10).await;
    assert_eq!(farm.placements().await, before);
    farm.a_new_stream_starts().await;
}
