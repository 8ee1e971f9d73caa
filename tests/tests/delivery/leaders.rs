//! Nothing is lost when the leader dies, or when nobody looked.

use std::time::Duration;

use acceptance::process::wait_until;
use serde_json::json;

use crate::world::{Replica, WITHIN, World, delivered};

fn leader(replicas: &mut Vec<Replica>) -> Replica {
    let index = wait_until(WITHIN, || replicas.iter().position(Replica::leads));
    replicas.swap_remove(index.expect("a leader"))
}

#[test]
fn the_next_leader_goes_on_where_the_last_one_died() {
    // So slow that there is a middle on a busy machine too: counting asks the API server sixty times.
    let world = World::with("successors", 5, Duration::from_secs(3600));
    let teams = world.teams("successors-team", 60);
    world.keytab("1");
    world.profile("successors", &teams, &json!({}));
    let mut replicas: Vec<Replica> = (0..3).map(|_| world.replica()).collect();
    let served = || teams.iter().filter(|team| !world.secrets(team).is_empty()).count();
    for part in [10, 25] {
        let reached = wait_until(WITHIN, || (served() >= part).then_some(()));
        assert!(reached.is_some(), "{} namespaces", served());
        leader(&mut replicas).kill();
        assert!(served() < teams.len(), "killed too late to mean anything");
        // Nobody says that all is done while it is not.
        assert_eq!(world.status("successors")["deliveredRevision"], json!(null));
    }
    let status = world.until("successors", "Delivered");
    assert_eq!(status["namespaces"]["delivered"], teams.len());
    assert_eq!(served(), teams.len());
}

#[test]
fn what_changed_while_nobody_looked_is_put_right() {
    let world = World::new("absent");
    let teams = world.teams("absent-team", 6);
    world.keytab("1");
    world.profile("absent-one", &teams[..3], &json!({}));
    world.profile("absent-two", &teams[3..], &json!({}));
    let first = world.replica();
    world.until("absent-one", "Delivered");
    world.until("absent-two", "Delivered");
    first.kill();

    world.label(&teams[0], false);
    world.remove_profile("absent-two");
    // Both are in the catalog, and nobody does anything about it.
    for team in &teams {
        assert_eq!(world.secrets(team).len(), 1, "{team}");
    }
    let _second = world.replica();
    for team in [&teams[0], &teams[3], &teams[4], &teams[5]] {
        world.until_secrets(team, 0);
    }
    assert_eq!(world.secrets(&teams[1]).len(), 1);
    let struck = wait_until(WITHIN, || {
        let ledger = world.ledger();
        let rest = ledger.get("absent-one").is_some_and(|entry| entry["namespaces"] == json!(&teams[1..3]));
        (rest && !ledger.contains_key("absent-two")).then_some(())
    });
    assert!(struck.is_some(), "{:?}", world.ledger());
}

/// A profile that stops compiling, and a leader that never saw it well: nothing of running jobs is taken away.
#[test]
fn a_mistake_in_a_profile_takes_nothing_away() {
    let world = World::with("mistaken", 200, Duration::from_secs(1));
    let teams = world.teams("mistaken-team", 2);
    world.keytab("1");
    world.profile("mistaken", &teams, &json!({}));
    let first = world.replica();
    let before = world.until("mistaken", "Delivered");
    first.kill();
    // As in a cluster, where somebody else writes the rest: without it, what the delivery takes away is all there is,
    // and the API server refuses it.
    world.compiled("mistaken");

    world.profile(
        "mistaken",
        &teams,
        &json!({"files": [{"mountPath": "/keytab", "secret": {"name": "missing"}}]}),
    );
    // Only now: plans of before the mistake would go on.
    world.forget_catalog();
    world.team("mistaken-other");
    world.profile("mistaken-other", &["mistaken-other".to_owned()], &json!({}));
    let _second = world.replica();
    world.until("mistaken-other", "Delivered");
    // Longer than superseded Secrets are kept.
    let other = world.api.list("v1", "Secret", Some("mistaken-other"));
    assert_eq!(other.len(), 1);
    std::thread::sleep(Duration::from_secs(3));
    for team in &teams {
        assert_eq!(world.secrets(team).len(), 1, "{team}");
    }
    let after = world.status("mistaken");
    assert_eq!(after["deliveredRevision"], before["deliveredRevision"]);
    assert_eq!(delivered(&after), delivered(&before));
    world.label(&teams[0], false);
    world.until_secrets(&teams[0], 0);
}

/// A watch of namespaces that hangs, or lists anew, knows less than the leader before knew.
#[test]
fn a_namespace_that_the_leader_does_not_know_loses_nothing() {
    let world = World::new("unseen");
    let teams = world.teams("unseen-team", 2);
    world.keytab("1");
    world.profile("unseen", &teams, &json!({}));
    let _replica = world.replica();
    world.until("unseen", "Delivered");
    world.forget(&teams[0]);
    let counted = world.until_status("unseen", |status| status["namespaces"]["delivered"] == 1);
    // What opted out later goes.
    world.label(&teams[1], false);
    world.until_secrets(&teams[1], 0);
    assert_eq!(world.secrets(&teams[0]).len(), 1, "{counted:#}");
    assert!(world.ledger()["unseen"]["namespaces"].to_string().contains(&teams[0]), "{:?}", world.ledger());
    // Once it is known again, what it says counts.
    world.label(&teams[0], true);
    world.until_status("unseen", |status| status["namespaces"]["delivered"] == 1);
    world.label(&teams[0], false);
    world.until_secrets(&teams[0], 0);
}
