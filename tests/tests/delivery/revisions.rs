//! When pods are given a new revision, and when the old one goes.

use std::time::Duration;

use acceptance::process::wait_until;
use serde_json::json;

use crate::world::{WITHIN, World};

#[test]
fn plans_switch_after_a_full_pass_and_old_secrets_go_after_their_time() {
    let world = World::with("revisions", 30, Duration::from_secs(6));
    let teams = world.teams("revisions-team", 30);
    world.keytab("1");
    world.profile("revisions", &teams, &json!({}));
    let _replica = world.replica();
    let status = world.until("revisions", "Delivered");
    let first = status["deliveredRevision"].as_str().expect("a revision").to_owned();
    assert_eq!(world.served_revision("revisions"), first);

    world.keytab("2");
    let began = wait_until(WITHIN, || teams.iter().any(|team| world.secrets(team).len() == 2).then_some(()));
    assert!(began.is_some(), "the new revision is not being delivered");
    // In the middle of the pass, pods get what is everywhere.
    let mut seen_old = 0;
    let second = loop {
        let served = world.served_revision("revisions");
        if served != first {
            break served;
        }
        seen_old += 1;
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(seen_old > 0, "switched at once");
    for team in &teams {
        let name = format!("spark-injector-revisions-{second}");
        assert!(world.secrets(team).contains(&name), "{team} has not what its pods refer to");
    }
    let status =
        world.until_status("revisions", |status| status["superseded"][0]["revision"] == first.as_str());
    assert_eq!(status["deliveredRevision"], second.as_str());
    assert_eq!(world.secrets(&teams[0]).len(), 2, "the old one is kept for a while");

    for team in &teams {
        world.until_secrets(team, 1);
        assert_eq!(world.secrets(team), [format!("spark-injector-revisions-{second}")]);
    }
    let status = world.until_status("revisions", |status| status["superseded"].is_null());
    assert_eq!(status["deliveredRevision"], second.as_str());
    let ledger = world.ledger();
    assert_eq!(ledger["revisions"]["secrets"].as_object().expect("names").len(), 1, "{ledger:?}");
}
