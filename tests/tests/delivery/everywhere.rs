//! Every namespace gets its Secrets, and loses them when it should.

use acceptance::client::secret;
use acceptance::manifests::OWN;
use acceptance::process::wait_until;
use serde_json::json;

use crate::world::{CANARY, WITHIN, World, cluster, delivered, names};

#[test]
fn every_namespace_of_a_profile_gets_its_secrets_and_keeps_them() {
    let world = World::new("everywhere");
    let teams = names("everywhere-team", 40);
    let mut covered = teams.clone();
    covered.push("everywhere-late".to_owned());
    for team in &teams {
        world.team(team);
    }
    world.keytab("1");
    world.registry();
    world.profile("everywhere", &covered, &json!({"pullSecret": {"secret": {"name": "registry"}}}));
    let replica = world.replica();

    let status = world.until("everywhere", "Delivered");
    assert_eq!(status["namespaces"]["delivered"], teams.len());
    assert_eq!(status["namespaces"]["failed"], 0);
    assert_eq!(delivered(&status)["status"], "True");
    let revision = status["deliveredRevision"].as_str().expect("a revision");
    let files = format!("spark-injector-everywhere-{revision}");
    let pull = format!("spark-injector-everywhere-pull-{revision}");
    for team in &teams {
        assert_eq!(world.secrets(team), [files.clone(), pull.clone()], "{team}");
    }
    let read = |namespace: &str, name: &str| world.api.read(&secret(namespace, name, &[])).expect(200);
    let stored = read(&teams[0], &files);
    assert_eq!((&stored["immutable"], &stored["type"]), (&json!(true), &json!("Opaque")));
    assert_eq!(stored["metadata"]["labels"]["spark-injector.io/profile"], "everywhere");
    assert_eq!(read(&teams[0], &pull)["type"], "kubernetes.io/dockerconfigjson");
    assert!(!world.events("everywhere", "Delivered").is_empty());

    // A namespace that comes later.
    world.team("everywhere-late");
    let took = world.until_secrets("everywhere-late", 2);
    println!("a new namespace has its Secrets after {took:?}");

    // A Secret that is deleted. The fence lets nobody do that but the injector and what ends a namespace.
    let lost = secret(&teams[7], &files, &[]);
    assert_eq!(world.api.delete(&lost).status, 403);
    let before = read(&teams[7], &files)["metadata"]["uid"].clone();
    cluster().service_account(OWN, OWN).delete(&lost).expect(200);
    let again = wait_until(WITHIN, || {
        let reply = world.api.read(&lost);
        (reply.status == 200 && reply.body["metadata"]["uid"] != before).then_some(())
    });
    assert!(again.is_some(), "the Secret was not made again");

    // A namespace that opts out, and one that is no longer the profile's.
    world.label(&teams[0], false);
    world.until_secrets(&teams[0], 0);
    let (_, rest) = covered.split_at(2);
    world.profile("everywhere", rest, &json!({"pullSecret": {"secret": {"name": "registry"}}}));
    world.until_secrets(&teams[1], 0);
    assert_eq!(world.secrets(&teams[2]).len(), 2);

    // And the profile itself.
    world.remove_profile("everywhere");
    for team in rest {
        world.until_secrets(team, 0);
    }
    let struck = wait_until(WITHIN, || world.ledger().is_empty().then_some(()));
    assert!(struck.is_some(), "{:?}", world.ledger());
    assert!(replica.leads());
}

#[test]
fn what_is_there_already_is_left_as_it_is() {
    let world = World::new("occupied");
    world.team("occupied-team");
    world.keytab("1");
    world.profile("occupied", &["occupied-team".to_owned()], &json!({}));
    let _replica = world.replica();
    let status = world.until("occupied", "Delivered");
    let name =
        format!("spark-injector-occupied-{}", status["deliveredRevision"].as_str().expect("a revision"));
    let stored = world.api.read(&secret("occupied-team", &name, &[])).expect(200);

    // Several intervals later it is the same object: it is asked for, not written.
    let asked = |count: usize| {
        let found = wait_until(WITHIN, || (asked_for() > count).then_some(()));
        assert!(found.is_some(), "it was not asked for");
    };
    asked(2);
    let after = world.api.read(&secret("occupied-team", &name, &[])).expect(200);
    assert_eq!(after["metadata"]["resourceVersion"], stored["metadata"]["resourceVersion"]);
    assert!(!after.to_string().contains(CANARY));
}

/// How often it was asked whether a Secret is there. The name of a POST is not in the audit log; its namespace is.
fn asked_for() -> usize {
    let asks = |event: &&serde_json::Value| {
        event["verb"] == "create"
            && event["objectRef"]["namespace"] == "occupied-team"
            && event["objectRef"]["resource"] == "secrets"
            && event["requestURI"].as_str().is_some_and(|uri| uri.contains("dryRun=All"))
            && event["responseStatus"]["code"] == 409
    };
    cluster().audit_log().iter().filter(asks).count()
}

/// `kubectl replace --force`: another object of the same name, so soon that nobody saw it gone, and without a status.
#[test]
fn a_profile_that_was_made_anew_is_told_what_is_delivered() {
    let world = World::new("anew");
    let teams = world.teams("anew-team", 2);
    world.keytab("1");
    world.profile("anew", &teams, &json!({}));
    let _replica = world.replica();
    let before = world.until("anew", "Delivered");

    let path = "/apis/spark-injector.io/v1alpha1/sparkprofiles/anew";
    let stored = world.api.get(path).expect(200);
    let again = json!({"apiVersion": stored["apiVersion"], "kind": stored["kind"],
                       "metadata": {"name": "anew"}, "spec": stored["spec"]});
    world.api.delete(&again).expect(200);
    let made = world.api.create(&again).expect(201);
    assert_ne!(made["metadata"]["uid"], stored["metadata"]["uid"]);
    let after = world.until("anew", "Delivered");
    assert_eq!(after["deliveredRevision"], before["deliveredRevision"]);
}
