//! A profile that stops compiling keeps its last good plan, and whom it served.

use serde_json::json;
use spark_injector::admit::Outcome;

use crate::support::{TEAM, World, admit, driver, inject, named, spark_of, world};

const GOOD: &str = "common: {template: {spec: {containers: [{name: spark, env: [{name: V, value: good}]}]}}}";

fn good() -> World {
    world().spec(GOOD)
}

fn bad(spec: &str) -> World {
    world().spec(spec)
}

#[test]
fn the_last_good_plan_keeps_serving() {
    let first = good().catalog();
    let second = bad("files: [{mountPath: /x, configMap: {name: gone}}]").compile(Some(&first));
    assert_eq!(second.problems().len(), 1);
    assert_eq!(named(spark_of(&inject(&second, &driver())), "/env", "V")["value"], "good");
    // And further on, from catalog to catalog.
    let third = bad("nonsense: 1").compile(Some(&second));
    assert_eq!(named(spark_of(&inject(&third, &driver())), "/env", "V")["value"], "good");
    let mended = bad("common: {template: {spec: {schedulerName: s}}}").compile(Some(&third));
    assert!(named(spark_of(&inject(&mended, &driver())), "/env", "V").is_null());
}

#[test]
fn a_profile_that_is_deleted_serves_no_more() {
    let first = good().catalog();
    let second = world().compile(Some(&first));
    assert!(!admit(&second, TEAM, &driver()).allowed);
}

#[test]
fn a_claim_that_cannot_be_read_any_more_still_holds() {
    let first = good().catalog();
    for claim in ["{names: team-a}", "{nmaes: [team-a]}", "7"] {
        let second = bad(&format!("{{namespaces: {claim}}}")).compile(Some(&first));
        assert_eq!(second.profile_of(TEAM), Some("team-a"), "{claim}");
        inject(&second, &driver());
    }
}

#[test]
fn a_claim_that_can_be_read_counts_even_where_the_rest_is_broken() {
    let first = good().catalog();
    let second = bad("{namespaces: {names: [team-b]}, nonsense: 1}").compile(Some(&first));
    assert_eq!(second.profile_of(TEAM), None);
}

#[test]
fn the_mode_in_which_it_served_stays() {
    let base = |spec: &str| world().profile("base", "mode: Audit").spec(spec);
    let first = base("extends: [base]").catalog();
    let second = base("{extends: [base], nonsense: 1}").compile(Some(&first));
    assert_eq!(admit(&second, TEAM, &driver()).answer.record.outcome, Outcome::Audited);
}

#[test]
fn a_profile_that_says_it_refuses_nothing_refuses_nothing_whatever_else_is_wrong() {
    for (mode, outcome) in [("Audit", Outcome::Audited), ("Off", Outcome::Skipped)] {
        let mode = format!("mode: '{mode}'");
        let worlds = [
            // Its own, while what it extends is broken; and that of what it extends, which is broken itself.
            world().profile("base", "nonsense: 1").spec(&format!("{{{mode}, extends: [base]}}")),
            world().profile("base", &format!("{{{mode}, nonsense: 1}}")).spec("extends: [base]"),
            world()
                .profile("first", "mode: Enforce")
                .profile("base", &format!("{{extends: [first], {mode}}}"))
                .spec("extends: [first, base, gone]"),
        ];
        for broken in worlds {
            assert_eq!(
                admit(&broken.compile(None), TEAM, &driver()).answer.record.outcome,
                outcome,
                "{mode}"
            );
            // Also where an older plan would still serve.
            let after = broken.compile(Some(&good().catalog()));
            assert_eq!(admit(&after, TEAM, &driver()).answer.record.outcome, outcome, "{mode}");
        }
    }
    let circle = world().profile("base", "extends: [team-a]").spec("extends: [base]");
    assert!(!admit(&circle.compile(None), TEAM, &driver()).allowed);
}

#[test]
fn a_missing_source_of_one_profile_leaves_the_others_plans_fresh() {
    let on = [("spark-injector.io/inject", "enabled")];
    let two = |spec: &str, value: &str| {
        world().namespace("team-b", &on, &[]).spec(spec).profile(
            "other",
            &format!("{{namespaces: {{names: [team-b]}}, common: {{template: {{spec: {{schedulerName: {value}}}}}}}}}"),
        )
    };
    let first = two(GOOD, "s1").catalog();
    let second = two("files: [{mountPath: /x, secret: {name: gone}}]", "s2").compile(Some(&first));
    assert_eq!(admit(&second, "team-b", &driver()).pod["spec"]["schedulerName"], "s2");
    assert_eq!(named(spark_of(&inject(&second, &driver())), "/env", "V")["value"], json!("good"));
}
