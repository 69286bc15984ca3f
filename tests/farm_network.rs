//! A worker on a host of its own whose network card goes dead: no connection is closed, nothing answers.

use std::net::SocketAddr;

use crate::farm::moved_only_from;
use crate::harness::chaos::Chaos;
use crate::harness::eventually;
use crate::harness::farm::Plan;
use crate::harness::netns::Netns;
use crate::harness::role::{Recipe, RoleProcess};

#[tokio::test]
async fn a_host_whose_network_dies_loses_its_streams_and_lets_go_of_them_later() {
    let netns = match Netns::open().await {
        Ok(netns) => netns,
        Err(missing) => {
            assert!(std::env::var_os("RSM_TEST_REQUIRE_NETNS").is_none(), "missing: {missing}");
            eprintln!("skipped: {missing}");
            return;
        }
    };
    // The worker of the other host is there alone first, so that it gets the streams.
    let plan = Plan { camera_address: Some(netns.address.to_string()), udp: true, ..Plan::of(0, 4) };
    let mut farm = plan.start_bare().await;
    let road = Chaos::at(SocketAddr::new(netns.address, 0), farm.nats.address()).await;
    let recipe = farm.worker_recipe("far", road.address);
    let [program, enter @ ..] = netns.enter();
    let mut arguments: Vec<_> = enter.map(Into::into).into();
    arguments.push(recipe.program.clone().into());
    arguments.extend(recipe.arguments.clone());
    farm.workers.push(RoleProcess::start("far", Recipe { program: program.into(), arguments, ..recipe }));
    farm.add_streams().await;
    let before = farm.until_all_run().await;
    let watchers = farm.watch_all().await;
    farm.add_worker("near").await;
    farm.beats(&["near"], 3).await;

    netns.down().await;
    let after = farm.until_owned("streams to move", |_, owner| owner.worker == "near").await;
    for watcher in &watchers {
        watcher.more(10).await;
    }
    netns.up().await;
    farm.beats(&["far", "near"], 8).await;
    moved_only_from("far", &before, &after);
    assert_eq!(farm.until_all_run().await, after, "moved once");
    // The cameras cannot know that the old client has gone until the wire is back, or its session is over.
    let playing = async || farm.sessions().await.iter().map(|(playing, _)| *playing).collect::<Vec<_>>();
    eventually("one RTSP session for each camera", playing, |playing| playing.iter().all(|n| *n == 1)).await;
    for watcher in &watchers {
        watcher.more(5).await;
    }
}
