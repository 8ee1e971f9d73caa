//! What holds for every body, be it a review or not: an answer, the same one each time, and never a panic.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use spark_injector::admit::{Answer, review};
use spark_injector::catalog::Catalog;

use super::choices::{Choices, bytes};
use super::config;
use super::pods::{Told, pod};
use crate::rules::platform;
use crate::support::TEAM;
use crate::support::answer::{body, response};

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| platform().catalog());

static REVIEWS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let read = |name: &str| {
        std::fs::read(format!("{}/../tests/reviews/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    vec![read("driver"), read("executor")]
});

/// What holds for an answer to anything.
fn check(answer: &Answer, sent: &[u8]) -> Result<(), TestCaseError> {
    match answer.status {
        200 => drop(response(answer)),
        400 => prop_assert!(answer.body.len() < 300 && !answer.retry),
        503 => prop_assert!(answer.retry),
        other => {
            return Err(TestCaseError::fail(format!("status {other} for {}", String::from_utf8_lossy(sent))));
        }
    }
    let again = review(&CATALOG, sent);
    prop_assert_eq!(&again.body, &answer.body, "same input, same bytes");
    Ok(())
}

/// Puts a value somewhere into a tree: which node, counted in the order of a walk.
fn replace_node(tree: &mut Value, countdown: &mut usize, value: &Value) {
    if *countdown == 0 {
        *tree = value.clone();
    }
    *countdown = countdown.wrapping_sub(1);
    match tree {
        Value::Object(map) => map.values_mut().for_each(|node| replace_node(node, countdown, value)),
        Value::Array(list) => list.iter_mut().for_each(|node| replace_node(node, countdown, value)),
        _ => {}
    }
}

fn count_nodes(tree: &Value) -> usize {
    match tree {
        Value::Object(map) => 1 + map.values().map(count_nodes).sum::<usize>(),
        Value::Array(list) => 1 + list.iter().map(count_nodes).sum::<usize>(),
        _ => 1,
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn arbitrary_bytes_are_answered(sent in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&review(&CATALOG, &sent), &sent)?;
    }

    #[test]
    fn a_damaged_review_is_answered(
        which in 0..2_usize, at in any::<prop::sample::Index>(), length in 0..40_usize, by in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut sent = REVIEWS[which].clone();
        let start = at.index(sent.len());
        let end = (start + length).min(sent.len());
        sent.splice(start..end, by);
        check(&review(&CATALOG, &sent), &sent)?;
        // Up to the last brace, whatever stands before it, a body is cut off.
        let whole = REVIEWS[which].trim_ascii_end();
        let answer = review(&CATALOG, &whole[..start.min(whole.len() - 1)]);
        prop_assert_eq!(answer.status, 400);
    }

    #[test]
    fn a_review_with_one_odd_value_is_answered_and_a_patch_applies(
        which in 0..2_usize, at in any::<prop::sample::Index>(), value in 0..8_usize,
    ) {
        let mut tree: Value = serde_json::from_slice(&REVIEWS[which]).unwrap();
        let odd = [json!(null), json!({}), json!([]), json!(""), json!(-1), json!(true), json!([null]), json!({ "a": {} })];
        let mut countdown = at.index(count_nodes(&tree));
        replace_node(&mut tree, &mut countdown, &odd[value]);
        let sent = tree.to_string().into_bytes();
        let answer = review(&CATALOG, &sent);
        check(&answer, &sent)?;
        if answer.status == 200 && response(&answer).get("patch").is_some() {
            let namespace = tree["request"]["namespace"].as_str().unwrap();
            crate::support::admit(&CATALOG, namespace, &tree["request"]["object"]);
        }
    }

    #[test]
    fn the_uid_comes_back_byte_for_byte(uid in "\\PC{1,40}|[\\x00-\\x20\"\\\\/]{1,8}", sent in bytes()) {
        let mut tree: Value = serde_json::from_slice(&body(TEAM, &pod(&mut Choices::new(sent), Told::Anyhow))).unwrap();
        tree["request"]["uid"] = json!(uid);
        let answer = review(&CATALOG, tree.to_string().as_bytes());
        prop_assert_eq!(&response(&answer)["uid"], &json!(uid));
        prop_assert_eq!(&answer.record.uid, &uid);
    }

    #[test]
    fn a_dry_run_gives_the_same_answer(sent in bytes()) {
        let mut tree: Value = serde_json::from_slice(&body(TEAM, &pod(&mut Choices::new(sent), Told::Anyhow))).unwrap();
        let real = review(&CATALOG, tree.to_string().as_bytes());
        tree["request"]["dryRun"] = json!(true);
        let dry = review(&CATALOG, tree.to_string().as_bytes());
        prop_assert_eq!(real.body, dry.body);
        prop_assert!(dry.record.dry_run && !real.record.dry_run);
    }
}

#[test]
fn what_is_no_review_is_refused_without_an_echo() {
    let good: Value = serde_json::from_slice(&REVIEWS[0]).unwrap();
    let with = |pointer: &str, value: Value| crate::support::with(good.clone(), pointer, value).to_string();
    for sent in [
        String::new(),
        "hunter2".to_owned(),
        "{".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        with("/apiVersion", json!("admission.k8s.io/v1beta1")),
        with("/kind", json!("hunter2")),
        with("/request", json!(null)),
        with("/request/uid", json!("")),
        with("/request/object/spec/containers", json!("hunter2")),
        with("/request/object/metadata/labels/spark-role", json!(["hunter2"])),
    ] {
        let answer = review(&CATALOG, sent.as_bytes());
        assert_eq!(answer.status, 400, "{sent}");
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(!text.is_empty() && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn keys_that_stand_twice_and_deep_nesting_are_survived() {
    let object = r#"{"metadata":{"labels":{"spark-role":"x","spark-role":"driver"}},"spec":{"containers":[{"name":"a"}]}}"#;
    let text = String::from_utf8(body(TEAM, &json!("OBJECT"))).unwrap();
    drop(review(&CATALOG, text.replace("\"OBJECT\"", object).as_bytes()));
    for depth in [100, 200, 100_000] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        drop(review(&CATALOG, deep.as_bytes()));
        let object = format!(
            r#"{{"metadata":{{"labels":{{"spark-role":"driver"}}}},"spec":{{"affinity":{{"x":{deep}}},"x":{deep},"containers":[{{"name":"a","x":{deep}}}]}}}}"#
        );
        drop(review(&CATALOG, text.replace("\"OBJECT\"", &object).as_bytes()));
    }
}

#[test]
fn a_hundred_thousand_variables_make_the_patch_no_longer() {
    let with = |count: usize| {
        let env: Vec<Value> =
            (0..count).map(|index| json!({"name": format!("V{index}"), "value": "x"})).collect();
        let pod = crate::support::with(crate::support::driver(), "/spec/containers/0/env", env);
        let answer = review(&CATALOG, &body(TEAM, &pod));
        (answer.status, answer.body.len())
    };
    assert_eq!(with(100_000), with(10), "what is done depends on the plan");
}

/// Variables of the role's name take an operation each, terms of affinity are multiplied with the profile's.
#[test]
fn what_a_pod_could_multiply_is_refused() {
    let terms = "[{matchExpressions: [{key: a, operator: Exists}]}, {matchExpressions: [{key: b, operator: Exists}]}]";
    let catalog = crate::support::catalog(&format!(
        "{{executorRole: {{name: R, value: 'true'}}, enforce: [affinity], common: {{template: {{spec: {{affinity: {{nodeAffinity: \
         {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: {terms}}}}}}}}}}}}}}}"
    ));
    let ask = |pod: Value, pointer: &str, entries: Vec<Value>| {
        let pod = crate::support::with(pod, pointer, entries);
        crate::support::admit(&catalog, TEAM, &pod)
    };
    for pod in [crate::support::driver(), crate::support::executor()] {
        let with =
            |count: usize| ask(pod.clone(), "/spec/containers/0/env", vec![json!({"name": "R"}); count]);
        assert!(with(16).allowed);
        let refused = with(17);
        assert_eq!((refused.code, refused.answer.record.reason), (422, "role_variable_repeated"));
        for part in ["variable R", "profile team-a", "17 times", "leave it out"] {
            assert!(refused.message.contains(part), "{part} in {}", refused.message);
        }
    }
    let path = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let term = json!({"matchExpressions": [{"key": "zone", "operator": "Exists"}]});
    let with = |count: usize| ask(crate::support::driver(), path, vec![term.clone(); count]);
    assert!(with(512).allowed);
    let many = with(5_000);
    // One term alone can be as large.
    let values: Vec<String> = (0..20_000).map(|index| format!("zone-{index}")).collect();
    let large = json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": values}]});
    let one = ask(crate::support::driver(), path, vec![large]);
    for (refused, terms) in [(many, "5000 required"), (one, "1 required")] {
        assert_eq!((refused.code, refused.answer.record.reason), (422, "affinity_too_large"));
        for part in
            [terms, "each of the 2 that profile team-a enforces", "more than 262144 bytes", "less in the pod"]
        {
            assert!(refused.message.contains(part), "{part} in {}", refused.message);
        }
    }
}
