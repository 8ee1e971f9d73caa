//! Which profile serves a namespace: an exact name, else a selector, else the default of all; of two the older.

use serde_json::{Value, json};

use super::says;
use crate::support::{TEAM, World, admit, driver, world};

const ON: [(&str, &str); 2] = [("spark-injector.io/inject", "enabled"), ("team", "b")];

fn created(name: &str, time: &str, namespaces: &Value) -> Value {
    json!({ "apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
        "metadata": { "name": name, "creationTimestamp": time }, "spec": { "namespaces": namespaces } })
}

#[test]
fn an_exact_name_wins_over_a_selector_and_that_over_the_default() {
    let catalog = world()
        .namespace("team-b", &ON, &[])
        .namespace("team-c", &ON[..1], &[])
        .profile("default", "namespaces: {selector: {}}")
        .profile("by-label", "namespaces: {selector: {matchLabels: {team: b}}}")
        .profile("by-name", "namespaces: {names: [team-a]}")
        .catalog();
    for (namespace, profile) in [(TEAM, "by-name"), ("team-b", "by-label"), ("team-c", "default")] {
        assert_eq!(catalog.profile_of(namespace), Some(profile));
    }
    let both = world()
        .namespace("team-b", &ON, &[])
        .profile(
            "by-label",
            "namespaces: {selector: {matchExpressions: [{key: team, operator: In, values: [b]}]}}",
        )
        .profile("by-name", "namespaces: {names: [team-b]}")
        .catalog();
    assert_eq!(both.profile_of("team-b"), Some("by-name"));
    assert_eq!(both.profile_of(TEAM), None);
}

#[test]
fn of_two_equal_claims_the_older_serves_and_both_are_told() {
    let names = json!({ "names": [TEAM] });
    for (world, winner) in [
        (
            world().object(created("a-young", "2026-02-01T00:00:00Z", &names)).object(created(
                "z-old",
                "2026-01-01T00:00:00Z",
                &names,
            )),
            "z-old",
        ),
        (
            world()
                .profile("two", "namespaces: {names: [team-a]}")
                .profile("one", "namespaces: {names: [team-a]}"),
            "one",
        ),
        (
            world().profile("two", "namespaces: {selector: {}}").profile("one", "namespaces: {selector: {}}"),
            "one",
        ),
    ] {
        let catalog = world.compile(None);
        assert_eq!(catalog.profile_of(TEAM), Some(winner));
        let problems = world.problems();
        assert_eq!(problems.len(), 2, "{problems:#?}");
        for problem in &problems {
            says(problem, &["spec.namespaces", "team-a is claimed equally", "leave it out"]);
        }
        assert!(problems.iter().any(|problem| problem.contains("keeps serving")), "{problems:#?}");
        assert!(admit(&catalog, TEAM, &driver()).allowed, "the older one keeps serving");
    }
}

#[test]
fn a_conflict_about_many_namespaces_is_told_once() {
    let mut world = World::default();
    for index in 0..5 {
        world = world.namespace(&format!("n{index}"), &ON, &[]);
    }
    let problems = world
        .profile("two", "namespaces: {selector: {}}")
        .profile("one", "namespaces: {selector: {}}")
        .problems();
    assert_eq!(
        problems,
        [
            "one.yaml: SparkProfile one: spec.namespaces: namespaces n0, n1, n2 and 2 more are claimed equally by SparkProfile two; leave them out of one of the two",
            "two.yaml: SparkProfile two: spec.namespaces: namespaces n0, n1, n2 and 2 more are claimed equally by SparkProfile one, which keeps serving them; leave them out of one of the two",
        ]
    );
}

#[test]
fn selectors_are_found_by_whichever_label_they_ask_for() {
    let selector = |labels: &str| format!("namespaces: {{selector: {{matchLabels: {{{labels}}}}}}}");
    let catalog = World::default()
        .profile("etl", &selector("kind: spark, team: etl"))
        .profile("ml", &selector("kind: spark, team: ml"))
        .profile(
            "rest",
            "namespaces: {selector: {matchExpressions: [{key: kind, operator: NotIn, values: [spark]}]}}",
        )
        .profile("all", "namespaces: {selector: {}}")
        .namespace("n-etl", &[("kind", "spark"), ("team", "etl")], &[])
        .namespace("n-ml", &[("kind", "spark"), ("team", "ml")], &[])
        .namespace("n-other", &[("kind", "flink"), ("team", "ml")], &[])
        .namespace("n-none", &[("kind", "spark")], &[])
        .catalog();
    for (namespace, profile) in [("n-etl", "etl"), ("n-ml", "ml"), ("n-other", "rest"), ("n-none", "all")] {
        assert_eq!(catalog.profile_of(namespace), Some(profile), "{namespace}");
    }
}

#[test]
fn overlap_in_a_namespace_that_does_not_exist_is_no_conflict() {
    let problems = World::default()
        .profile("one", "namespaces: {names: [nowhere]}")
        .profile("two", "namespaces: {names: [nowhere]}")
        .problems();
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn mistakes_in_a_claim_are_named() {
    for (claim, parts) in [
        ("{names: [Team_A]}", ["spec.namespaces.names[0]", "\"Team_A\""]),
        (
            "{selector: {matchExpressions: [{key: a, operator: in, values: [b]}]}}",
            ["matchExpressions[0].operator", "In, NotIn, Exists, DoesNotExist"],
        ),
        (
            "{selector: {matchExpressions: [{key: a, operator: In}]}}",
            ["matchExpressions[0].values", "missing"],
        ),
        (
            "{selector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}",
            ["matchExpressions[0].values", "leave them out"],
        ),
        ("{}", ["spec.namespaces: ", "write names or a selector"]),
        ("{names: [team-a], name: [team-a]}", ["spec.namespaces.name", "names, selector"]),
        ("{names: team-a}", ["spec.namespaces.names", "expected a list"]),
    ] {
        says(&world().spec(&format!("namespaces: {claim}")).problem(), &parts);
    }
}

#[test]
fn a_broken_profile_denies_the_namespaces_that_it_claims_and_no_others() {
    let world = world()
        .namespace("team-b", &ON, &[])
        .profile("good", "namespaces: {names: [team-b]}")
        .spec("files: [{mountPath: /x, configMap: {name: missing}}]");
    let catalog = world.compile(None);
    assert!(admit(&catalog, "team-b", &driver()).allowed);
    let refused = admit(&catalog, TEAM, &driver());
    assert_eq!((refused.allowed, refused.code), (false, 403));
    says(
        &refused.message,
        &["SparkProfile team-a", "namespace team-a", "spec.files[0].configMap.name", "missing", "owner"],
    );
    assert_eq!(catalog.problems_of(TEAM).len(), 1);
    assert!(catalog.problems_of("team-b").is_empty());
}
