//! Messages as released versions wrote them, and as a newer version may: each is read.

use rsm_model::stream::state::StreamState;
use rsm_model::wire::messages::{Event, Heartbeat, HeartbeatReply, Ticket, WorkerState};

#[test]
fn messages_of_version_1_are_read_and_written_as_they_were() {
    let beat: Heartbeat = serde_json::from_str(include_str!("golden/v1/heartbeat.json")).unwrap();
    assert_eq!((beat.inv.len(), beat.inv[0].state, beat.inv[0].ready), (2, StreamState::Running, true));
    let again = serde_json::to_value(&beat).unwrap();
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/v1/heartbeat.json")).unwrap();
    assert_eq!(again["inv"], golden["inv"]);
    let reply: HeartbeatReply = serde_json::from_str(include_str!("golden/v1/heartbeat-reply.json")).unwrap();
    assert_eq!(reply.drop.len(), 1);
    serde_json::from_str::<Event>(include_str!("golden/v1/event.json")).unwrap();
    serde_json::from_str::<Ticket>(include_str!("golden/v1/ticket.json")).unwrap();
}

#[test]
fn a_heartbeat_of_a_newer_worker_is_read_but_for_rows_that_name_no_stream() {
    let beat: Heartbeat = serde_json::from_str(include_str!("golden/newer/heartbeat.json")).unwrap();
    let rows: Vec<_> = beat.inv.iter().map(|owned| (owned.cam.as_str(), owned.state)).collect();
    let want = [("yard", StreamState::Running), ("gate", StreamState::Unknown), ("door", StreamState::Unknown)];
    assert_eq!(rows, want);
    assert_eq!(beat.state, WorkerState::Unknown);
}

#[test]
fn an_answer_of_a_newer_api_is_read() {
    let reply: HeartbeatReply = serde_json::from_str(include_str!("golden/newer/heartbeat-reply.json")).unwrap();
    let drops: Vec<_> = reply.drop.iter().map(|(slug, epoch)| (slug.as_str(), epoch.0)).collect();
    assert_eq!(drops, [("yard", 7)]);
    let event: Event = serde_json::from_str(include_str!("golden/newer/event.json")).unwrap();
    assert_eq!(event.state, StreamState::Unknown);
}

#[test]
fn a_higher_version_is_refused_by_name() {
    let newer = r#"{"v":2,"session":"w1-a"}"#;
    let error = serde_json::from_str::<Heartbeat>(newer).unwrap_err().to_string();
    assert!(error.starts_with("it is of version 2, and this program reads version 1"), "{error}");
}
