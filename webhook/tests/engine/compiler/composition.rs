//! Composition: extends < the profile's own common < role < variant; lists by key, scalars replace.

use serde_json::{Value, json};

use super::says;
use crate::support::files::files;
use crate::support::{TEAM, World, admit, denied, driver, executor, inject, named, spark_of, with, world};

/// A `common` with one variable.
fn variable(value: &str) -> String {
    format!("{{template: {{spec: {{containers: [{{name: spark, env: [{{name: V, value: {value}}}]}}]}}}}}}")
}

fn value(pod: &Value) -> &Value {
    &named(spark_of(pod), "/env", "V")["value"]
}

fn fast(pod: Value) -> Value {
    with(pod, "/metadata/labels/spark-injector.io~1variant", "fast")
}

#[test]
fn later_layers_win() {
    let layers = [
        ("base", "common"),
        ("base", "executor"),
        ("second", "common"),
        ("team-a", "common"),
        ("team-a", "executor"),
    ];
    // With the first n layers written, the last of them is what an executor gets; roles win only within one profile's layer.
    for count in 1..=layers.len() {
        let spec = |profile: &str| {
            let fields: Vec<String> = layers[..count]
                .iter()
                .filter(|(owner, _)| *owner == profile)
                .map(|(owner, field)| format!("{field}: {}", variable(&format!("{owner}-{field}"))))
                .collect();
            fields.join(", ")
        };
        let own = spec("team-a");
        let comma = if own.is_empty() { "" } else { "," };
        let catalog = world()
            .profile("base", &format!("{{{}}}", spec("base")))
            .profile("second", &format!("{{{}}}", spec("second")))
            .spec(&format!("{{extends: [base, second]{comma} {own}}}"))
            .catalog();
        let (owner, field) = layers[count - 1];
        assert_eq!(value(&inject(&catalog, &executor())), &json!(format!("{owner}-{field}")));
    }
}

#[test]
fn a_variant_wins_over_everything_and_only_where_it_is_chosen() {
    let spec = format!(
        "{{common: {}, driver: {}, variants: {{fast: {}, slow: {{driver: {}}}}}}}",
        variable("common"),
        variable("driver"),
        variable("fast"),
        variable("slow")
    );
    let catalog = world().spec(&spec).catalog();
    assert_eq!(value(&inject(&catalog, &driver())), "driver");
    assert_eq!(value(&inject(&catalog, &executor())), "common");
    assert_eq!(value(&inject(&catalog, &fast(driver()))), "fast");
    let slow = |pod| with(pod, "/metadata/labels/spark-injector.io~1variant", "slow");
    assert_eq!(value(&inject(&catalog, &slow(driver()))), "slow");
    assert_eq!(
        value(&inject(&catalog, &slow(executor()))),
        "common",
        "the variant is silent about executors"
    );
}

#[test]
fn variants_merge_by_name_across_profiles() {
    let catalog = world()
        .profile("base", "variants: {fast: {template: {spec: {priorityClassName: p1, schedulerName: s1}}}, slow: {template: {}}}")
        .spec("{extends: [base], variants: {fast: {template: {spec: {priorityClassName: p2}}}}}")
        .catalog();
    let pod = inject(&catalog, &fast(driver()));
    assert_eq!(
        (&pod["spec"]["priorityClassName"], &pod["spec"]["schedulerName"]),
        (&json!("p2"), &json!("s1"))
    );
    let (_, message) = denied(&catalog, &with(driver(), "/metadata/labels/spark-injector.io~1variant", "x"));
    says(&message, &["fast, slow"]);
}

#[test]
fn keyed_lists_merge_by_their_keys() {
    let base = "common: {template: {metadata: {labels: {a: '1', b: '1'}}, spec: {
        volumes: [{name: v, emptyDir: {}}, {name: w, emptyDir: {}}],
        hostAliases: [{ip: 10.0.0.1, hostnames: [a]}], dnsConfig: {options: [{name: ndots, value: '1'}, {name: rotate}]},
        tolerations: [{key: a, operator: Exists}],
        containers: [{name: spark, volumeMounts: [{name: v, mountPath: /m}], resources: {limits: {cpu: 8}}}, {name: logs, image: 'l:1'}]}}}";
    let own = "{extends: [base], common: {template: {metadata: {labels: {b: '2', c: '2'}}, spec: {
        volumes: [{name: v, hostPath: {path: /h}}], hostAliases: [{ip: 10.0.0.1, hostnames: [b, a]}],
        dnsConfig: {options: [{name: ndots, value: '2'}]}, tolerations: [{operator: Exists, key: a}, {key: b, operator: Exists}],
        containers: [{name: spark, volumeMounts: [{name: w, mountPath: /m/}], resources: {limits: {cpu: 9}}}, {name: logs, image: 'l:2'}]}}}}";
    let pod = inject(&world().profile("base", base).spec(own).catalog(), &driver());
    let labels = &pod["metadata"]["labels"];
    assert_eq!((&labels["a"], &labels["b"], &labels["c"]), (&json!("1"), &json!("2"), &json!("2")));
    assert_eq!(named(&pod, "/spec/volumes", "v")["hostPath"]["path"], "/h");
    assert_eq!(pod["spec"]["hostAliases"], json!([{ "ip": "10.0.0.1", "hostnames": ["a", "b"] }]));
    let options = json!([{ "name": "ndots", "value": "2" }, { "name": "rotate" }]);
    assert_eq!(pod["spec"]["dnsConfig"]["options"], options);
    assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), 2);
    let spark = spark_of(&pod);
    assert_eq!(named(spark, "/volumeMounts", "w")["mountPath"], "/m/");
    assert!(named(spark, "/volumeMounts", "v").is_null());
    assert_eq!(spark["resources"]["limits"]["cpu"], "9");
    assert_eq!(named(&pod, "/spec/containers", "logs")["image"], "l:2");
}

#[test]
fn files_override_by_mount_path_and_role() {
    let catalog = world()
        .profile("base", "files: [{mountPath: /x, inline: {base: b}}, {mountPath: /z, inline: {z: zz}}]")
        .spec("{extends: [base], files: [{mountPath: /x/, roles: [driver], inline: {own: o}}]}")
        .catalog();
    let of = |pod: &Value| files(&inject(&catalog, pod), &[]).into_keys().collect::<Vec<_>>();
    assert_eq!(of(&driver()), ["/x/own", "/z/z"]);
    assert_eq!(of(&executor()), ["/x/base", "/z/z"]);
}

#[test]
fn allowed_is_intersected_and_defaults_are_united() {
    let allowed = |first: &str, own: &str| {
        world()
            .profile("base", &format!("nodeSelector: {{allowed: {first}, default: {{a: '1'}}}}"))
            .spec(&format!("{{extends: [base], nodeSelector: {{allowed: {own}, default: {{b: '2'}}}}}}"))
            .compile(None)
    };
    let both = allowed("{a: ['1', '2'], b: ['2']}", "{a: ['1'], b: ['2', '3']}");
    assert_eq!(inject(&both, &driver())["spec"]["nodeSelector"], json!({ "a": "1", "b": "2" }));
    let own = with(driver(), "/spec/nodeSelector", json!({ "a": "2" }));
    assert!(!admit(&both, TEAM, &own).allowed);
    for (first, own) in [("{a: ['1']}", "{b: ['2']}"), ("{a: ['1'], b: ['2']}", "{a: ['9'], b: ['2']}")] {
        let (_, message) = denied(&allowed(first, own), &driver());
        says(&message, &["whitelist"]);
    }
    // Saying nothing takes nothing away.
    inject(&allowed("{a: ['1'], b: ['2']}", "{}"), &driver());
}

#[test]
fn enforce_is_a_union_and_scalars_replace() {
    let catalog = world()
        .profile("base", "{enforce: [schedulerName], allowOptOut: true, executorRole: {name: R, value: base}, common: {template: {spec: {schedulerName: s1}}}}")
        .spec("{extends: [base], enforce: [priorityClassName], allowOptOut: false, executorRole: {name: S, value: own}, common: {template: {spec: {schedulerName: s2, priorityClassName: p}}}}")
        .catalog();
    assert_eq!(denied(&catalog, &with(driver(), "/spec/schedulerName", "s1")).0, 403);
    assert_eq!(denied(&catalog, &with(driver(), "/spec/priorityClassName", "q")).0, 403);
    assert_eq!(
        denied(&catalog, &with(driver(), "/metadata/labels/spark-injector.io~1inject", "disabled")).0,
        403
    );
    let pod = inject(&catalog, &executor());
    assert!(named(spark_of(&pod), "/env", "R").is_null());
    assert_eq!(named(spark_of(&pod), "/env", "S")["value"], "own");
}

#[test]
fn namespaces_are_never_inherited() {
    let catalog = world()
        .profile("base", "namespaces: {names: [team-a]}")
        .profile("child", "extends: [base]")
        .catalog();
    assert_eq!(catalog.profile_of(TEAM), Some("base"));
}

#[test]
fn a_chain_and_a_diamond_compose() {
    let catalog = world()
        .profile("root", &format!("common: {}", variable("root")))
        .profile("left", "extends: [root]")
        .profile("right", &format!("{{extends: [root], common: {}}}", variable("right")))
        .spec("extends: [right, left]")
        .catalog();
    assert_eq!(value(&inject(&catalog, &driver())), "root", "left comes later, with what it builds upon");
}

fn cycle() -> World {
    world()
        .profile("one", "extends: [two]")
        .profile("two", "extends: [one]")
        .spec("extends: [one]")
        .profile("free", "")
}

#[test]
fn a_cycle_is_named_and_touches_nobody_else() {
    let problems = cycle().problems();
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(
        problems.iter().any(|problem| problem.contains("SparkProfile one: spec.extends[0]")
            && problem.contains("one → two → one")),
        "{problems:#?}"
    );
    assert!(!problems.iter().any(|problem| problem.contains("SparkProfile free")));
    let own = world().spec("extends: [team-a]").problem();
    says(&own, &["spec.extends[0]", "team-a → team-a"]);
}

#[test]
fn an_unknown_base_is_named_with_the_known_ones() {
    let problem = world().profile("base", "").spec("extends: [bsae]").problem();
    says(&problem, &["team-a.yaml", "spec.extends[0]", "\"bsae\"", "base, team-a"]);
}

#[test]
fn a_mistake_in_a_base_is_told_to_both() {
    let problems = world()
        .profile("base", "common: {template: {spec: {nodeName: x}}}")
        .spec("extends: [base]")
        .problems();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    says(&problems[0], &["SparkProfile base: spec.common.template.spec.nodeName"]);
    says(
        &problems[1],
        &["SparkProfile team-a: spec.extends[0]", "SparkProfile base has an error", "nodeName"],
    );
}
