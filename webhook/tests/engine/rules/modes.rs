//! Audit decides, counts and warns, and patches nothing; Off is as if the namespace had not opted in.

use serde_json::json;
use spark_injector::admit::Outcome;

use crate::support::{TEAM, World, admit, catalog, driver, inject, untouched, with, world};

const BODY: &str =
    "common: {template: {spec: {priorityClassName: p1}}}, enforce: [priorityClassName], variants: {a: {}}";

#[test]
fn audit_says_what_it_would_do_and_does_nothing() {
    let catalog = catalog(&format!("{{mode: Audit, {BODY}}}"));
    let admitted = admit(&catalog, TEAM, &driver());
    assert!(admitted.allowed && admitted.patch.is_null());
    assert_eq!(admitted.answer.record.outcome, Outcome::Audited);
    assert_eq!(admitted.answer.record.reason, "would_inject");
    assert!(admitted.warnings[0].contains("Audit"), "{:?}", admitted.warnings);
    assert!(!admitted.pod["spec"].as_object().unwrap().contains_key("priorityClassName"));
}

#[test]
fn audit_refuses_nothing_and_warns_instead() {
    let catalog = catalog(&format!("{{mode: Audit, {BODY}}}"));
    let odd = with(driver(), "/spec/containers", json!([{ "name": "a" }, { "name": "b" }]));
    for pod in [
        with(driver(), "/spec/priorityClassName", "p9"),
        with(driver(), "/metadata/labels/spark-injector.io~1variant", "none"),
        with(driver(), "/metadata/labels/spark-injector.io~1inject", "disabled"),
        odd,
    ] {
        let admitted = admit(&catalog, TEAM, &pod);
        assert!(admitted.allowed && admitted.patch.is_null());
        assert_eq!(admitted.answer.record.outcome, Outcome::Audited);
        assert!(admitted.warnings[0].contains("would refuse"), "{:?}", admitted.warnings);
    }
}

#[test]
fn audit_writes_down_no_opt_out_either() {
    let catalog = catalog("{mode: Audit, allowOptOut: true}");
    let pod = with(driver(), "/metadata/labels/spark-injector.io~1inject", "disabled");
    assert_eq!(untouched(&catalog, TEAM, &pod), "opt_out");
}

#[test]
fn off_leaves_every_pod_alone() {
    let catalog = catalog(&format!("{{mode: \"Off\", {BODY}}}"));
    assert_eq!(untouched(&catalog, TEAM, &driver()), "mode_off");
    let out = with(driver(), "/metadata/labels/spark-injector.io~1inject", "disabled");
    assert_eq!(untouched(&catalog, TEAM, &out), "mode_off");
}

#[test]
fn the_mode_is_inherited_and_can_be_set_anew() {
    let base = || -> World { world().profile("base", "mode: Audit") };
    let inherited = base().spec("extends: [base]").catalog();
    assert_eq!(admit(&inherited, TEAM, &driver()).answer.record.outcome, Outcome::Audited);
    inject(&base().spec("{extends: [base], mode: Enforce}").catalog(), &driver());
}

#[test]
fn a_broken_profile_in_audit_refuses_nothing() {
    let catalog = world().spec("{mode: Audit, files: [{mountPath: rel, inline: {}}]}").compile(None);
    let admitted = admit(&catalog, TEAM, &driver());
    assert!(admitted.allowed && admitted.warnings[0].contains("would refuse"), "{:?}", admitted.warnings);
}
