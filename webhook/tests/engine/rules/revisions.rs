//! Replicas that are one step apart, and pods that meet a change of their profile between two calls: what a pod was
//! given by either stays valid, and nothing forged does.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use spark_injector::admit::{Outcome, review};
use spark_injector::catalog::Catalog;

use crate::support::answer::body;
use crate::support::cluster::{other_webhook, represent};
use crate::support::{TEAM, World, admit, denied, driver, inject, untouched, with, world};

const INIT: &str = "/spec/initContainers/0";
const STATUS: &str = "/metadata/annotations/spark-injector.io~1status";
const MINUTE: Duration = Duration::from_secs(60);

/// A profile whose file holds this text, and travels so.
fn holding(text: &str, delivery: &str) -> World {
    world()
        .config_map("c", &[("a.conf", text.as_bytes())])
        .spec(&format!("{{delivery: {delivery}, files: [{{mountPath: /x, configMap: {{name: c}}}}]}}"))
}

/// What a replica compiles that has heard of this text and this delivery.
fn cluster(text: &str, delivered: Option<&str>, previous: Option<&Catalog>) -> Catalog {
    let mut world = holding(text, "Secret").settings(|settings| settings.switch_after_delivery = true);
    world.snapshot.profiles[0].delivered = delivered.map(ToOwned::to_owned);
    world.compile(previous)
}

/// What a replica answers that does not know what a pod was given.
fn reason(catalog: &Catalog, pod: &Value) -> (u16, bool, &'static str) {
    let answer = review(catalog, &body(TEAM, pod));
    (answer.status, answer.retry, answer.record.reason)
}

const UNKNOWN: (u16, bool, &str) = (503, true, "revision_unknown");

#[test]
fn a_pod_that_one_replica_admitted_is_not_refused_by_another_one_a_step_apart() {
    for delivery in ["Env", "Secret"] {
        let old = holding("1", delivery).catalog();
        let new = holding("2", delivery).compile(Some(&old));
        let revision = &old.profiles()[0].revision;
        assert_ne!(&new.profiles()[0].revision, revision);

        let given = represent(&other_webhook(&inject(&old, &represent(&driver()))));
        let again = admit(&new, TEAM, &given);
        assert!(again.allowed && again.patch.is_null(), "{delivery}: {} {:#}", again.message, again.patch);
        assert_eq!(again.answer.record.outcome, Outcome::Unchanged);
        assert_eq!(&again.answer.record.revision, revision, "as a whole what it was given");

        let given = represent(&other_webhook(&inject(&new, &represent(&driver()))));
        assert_eq!(
            reason(&old, &given),
            UNKNOWN,
            "{delivery}: the API server tries again, at a replica that knows"
        );
    }
}

#[test]
fn a_replica_that_still_waits_for_a_delivery_knows_what_it_waits_for() {
    let old = cluster("1", None, None);
    let waiting = cluster("2", None, Some(&old));
    let wanted = waiting.wanted_revision("team-a").unwrap().to_owned();
    let switched = cluster("2", Some(&wanted), Some(&old));
    let given = inject(&switched, &driver());
    assert_eq!(untouched(&waiting, TEAM, &given), "complete");
    assert_eq!(untouched(&switched, TEAM, &inject(&waiting, &driver())), "complete");
}

#[test]
fn what_a_replica_waited_for_is_known_to_it_after_the_next_change() {
    let old = cluster("1", None, None);
    let waiting = cluster("2", None, Some(&old));
    let wanted = waiting.wanted_revision("team-a").unwrap().to_owned();
    // The other replica heard of the delivery first, this one of a further change, or that it was taken back.
    let given = inject(&cluster("2", Some(&wanted), Some(&waiting)), &driver());
    for text in ["3", "1"] {
        let further = cluster(text, None, Some(&waiting));
        assert_eq!(untouched(&further, TEAM, &given), "complete", "{text}");
        let late = cluster(text, Some(&wanted), Some(&further));
        assert_eq!(untouched(&late, TEAM, &given), "complete", "{text}");
    }
}

#[test]
fn what_another_webhook_took_away_comes_back_as_it_was() {
    let old = holding("1", "Env").catalog();
    let new = holding("2", "Env").compile(Some(&old));
    let given = inject(&old, &driver());
    let mut without = given.clone();
    let mounts = without["spec"]["containers"][0]["volumeMounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["name"] != "spark-injector-files");
    assert_eq!(
        admit(&new, TEAM, &without).pod["spec"],
        given["spec"],
        "all of the old revision, nothing of the new"
    );
    // A copied annotation alone is not something that was given.
    let copied = with(driver(), STATUS, given.pointer(STATUS).unwrap().clone());
    let fresh = admit(&new, TEAM, &copied);
    assert_eq!(fresh.pod["spec"], inject(&new, &driver())["spec"]);
}

#[test]
fn a_revision_is_recent_for_fifteen_minutes() {
    let at = |world: World, minutes: u32| {
        let mut world = world;
        world.snapshot.taken = SystemTime::UNIX_EPOCH + MINUTE * minutes;
        world
    };
    let old = at(holding("1", "Secret"), 1).catalog();
    let new = at(holding("2", "Secret"), 2).compile(Some(&old));
    let given = inject(&old, &driver());
    let now = |minutes: u32| SystemTime::UNIX_EPOCH + MINUTE * minutes;
    assert!(new.forget(now(16)).is_none(), "nothing to forget yet");
    let later = at(holding("2", "Secret"), 16).compile(Some(&new));
    assert_eq!(untouched(&later, TEAM, &given), "complete");

    for forgetful in [new.forget(now(17)).unwrap(), at(holding("2", "Secret"), 17).compile(Some(&new))] {
        let (code, message) = denied(&forgetful, &given);
        assert!(code == 403 && message.contains("team-a"), "known once, and not any more: {message}");
        assert!(forgetful.forget(now(60)).is_none());
        assert_eq!(untouched(&forgetful, TEAM, &inject(&forgetful, &driver())), "complete");
    }
}

#[test]
fn a_source_that_changes_all_the_time_does_not_fill_the_memory() {
    let mut catalog = holding("0", "Env").catalog();
    let first = inject(&catalog, &driver());
    let mut last = first.clone();
    for step in 1..6 {
        last = inject(&catalog, &driver());
        catalog = holding(&step.to_string(), "Env").compile(Some(&catalog));
    }
    assert_eq!(untouched(&catalog, TEAM, &last), "complete");
    assert_eq!(reason(&catalog, &first), UNKNOWN);
}

#[test]
fn another_tag_or_digest_of_our_image_is_a_step_apart_too() {
    let with_image = |image: &str| {
        holding("1", "Env")
            .settings(|settings| settings.init_image = format!("registry.example:5000/{image}"))
            .catalog()
    };
    let ours = with_image("init-sync:1.0");
    for image in ["init-sync:1.1", "init-sync", "init-sync@sha256:00", "init-sync:1.0@sha256:00"] {
        let given = inject(&with_image(image), &driver());
        assert_eq!(untouched(&ours, TEAM, &given), "complete", "{image}");
    }
    let amounts = json!({ "limits": { "cpu": "1" }, "requests": { "cpu": "1" } });
    let sized = with(inject(&ours, &driver()), &format!("{INIT}/resources"), amounts);
    assert_eq!(untouched(&ours, TEAM, &sized), "complete", "other flags, or a webhook that sizes everything");
    for image in ["init-sync-evil:1.0", "x/init-sync:1.0"] {
        assert_eq!(denied(&ours, &inject(&with_image(image), &driver())).0, 403, "{image}");
    }
}

#[test]
fn what_is_forged_is_refused_at_once() {
    for delivery in ["Env", "Secret"] {
        let ours = holding("1", delivery).catalog();
        let known = inject(&ours, &driver());
        let strange = inject(&holding("2", delivery).catalog(), &driver());
        assert_eq!(reason(&ours, &strange), UNKNOWN);
        let secret = json!([
            { "name": "INIT_SYNC_MANIFEST", "value": "x" },
            { "name": "a", "valueFrom": { "secretKeyRef": { "name": "keytab-of-somebody", "key": "a" } } },
        ]);
        for (what, pointer, value) in [
            ("another image", format!("{INIT}/image"), json!("evil:1")),
            ("no manifest", format!("{INIT}/env"), json!([])),
            ("another Secret", format!("{INIT}/env"), secret),
            ("no annotation", STATUS.to_owned(), json!("")),
            ("a revision that is known", STATUS.to_owned(), known.pointer(STATUS).unwrap().clone()),
        ] {
            let (code, message) = denied(&ours, &with(strange.clone(), &pointer, value));
            assert_eq!(code, 403, "{delivery}, {what}: {message}");
        }
    }
}

/// As of replicas of which one has read a change of the profile and the other one has not.
#[test]
fn a_replica_that_is_behind_asks_for_patience_whatever_changed() {
    let common = |fields: &str| format!("common: {{template: {{spec: {{{fields}}}}}}}");
    let enforced = |class: &str| {
        format!("enforce: [priorityClassName], {}", common(&format!("priorityClassName: {class}")))
    };
    let spark = |fields: &str| common(&format!("containers: [{{name: spark, {fields}}}]"));
    let file = "files: [{mountPath: /x, configMap: {name: c}}]";
    let of = |spec: &str| world().config_map("c", &[("a.conf", b"1")]).spec(&format!("{{{spec}, {file}}}"));
    for (old, new) in [
        (common("tolerations: [{key: a}]"), common("tolerations: [{key: b}]")),
        (common("volumes: [{name: v, emptyDir: {}}]"), common("volumes: [{name: v, hostPath: {path: /v}}]")),
        (
            common("hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]"),
            common("hostAliases: [{ip: 10.0.0.1, hostnames: [b]}]"),
        ),
        (
            common("containers: [{name: logs, image: 'logs:1'}]"),
            common("containers: [{name: logs, image: 'logs:2'}]"),
        ),
        (spark("env: [{name: E, value: '1'}]"), spark("env: [{name: F, value: '1'}]")),
        (enforced("p1"), enforced("p2")),
        ("nodeSelector: {default: {pool: a}}".to_owned(), "nodeSelector: {default: {pool: b}}".to_owned()),
    ] {
        let (behind, ahead) = (of(&old).catalog(), of(&new).catalog());
        assert_eq!(behind.profiles()[0].revision, ahead.profiles()[0].revision, "the files are the same");
        let given = represent(&other_webhook(&inject(&ahead, &represent(&driver()))));
        assert_eq!(reason(&behind, &given), UNKNOWN, "{new}");
    }
    // Where everything is there that is known here, there is nothing to wait for.
    let (behind, ahead) = (of("mode: Enforce").catalog(), of(&common("tolerations: [{key: a}]")).catalog());
    let given = inject(&ahead, &driver());
    assert_eq!(admit(&behind, TEAM, &given).pod["spec"], given["spec"]);
    // Without files there is no init container to tell by: what would be refused is asked for once more.
    let bare = |spec: &str| world().spec(&format!("{{{spec}}}")).catalog();
    let given = inject(&bare(&enforced("p2")), &driver());
    assert_eq!(reason(&bare(&enforced("p1")), &given), UNKNOWN);
    // In mode Audit nothing is refused, so nobody has to wait.
    let audit = bare(&format!("mode: Audit, {}", enforced("p1")));
    assert_eq!(reason(&audit, &given), (200, false, "enforced"));
}

#[test]
fn a_replica_that_is_behind_may_not_even_know_the_profile() {
    let given = inject(&holding("1", "Env").catalog(), &driver());
    let unclaimed = World::default().namespace(TEAM, &[("spark-injector.io/inject", "enabled")], &[]);
    assert_eq!(reason(&unclaimed.catalog(), &given), UNKNOWN, "its profile is new");
    let broken = world().spec("{files: [{mountPath: /x, configMap: {name: missing}}]}").compile(None);
    assert_eq!(reason(&broken, &given), UNKNOWN, "its profile is mended");
    let other = json!({ "profile": "other", "revision": "0123456789abcdef", "role": "driver" }).to_string();
    let given = with(given, STATUS, other);
    assert_eq!(reason(&holding("2", "Env").catalog(), &given), UNKNOWN, "its namespace has another profile");
    // Without the init container an annotation says nothing of profiles that do not serve here.
    let annotated = with(driver(), STATUS, given.pointer(STATUS).unwrap().clone());
    assert_eq!(denied(&unclaimed.catalog(), &annotated).0, 403);

    let opted_out = with(driver(), "/metadata/labels/spark-injector.io~1inject", "disabled");
    let given = admit(&world().spec("{allowOptOut: true}").catalog(), TEAM, &opted_out).pod;
    assert_eq!(reason(&world().spec("{}").catalog(), &given), UNKNOWN, "opting out is new");
}

#[test]
fn a_forged_annotation_gains_nothing() {
    let spec = "{enforce: [priorityClassName], files: [{mountPath: /x, inline: {a: b}}],
                 common: {template: {spec: {priorityClassName: p1}}}}";
    let catalog = world().spec(spec).catalog();
    let honest = inject(&catalog, &driver());
    for forged in [
        r#"{"profile":"team-a","revision":"0123456789abcdef","plan":"0123456789abcdef","role":"driver"}"#,
        r#"{"profile":"team-a","isolated":true}"#,
        r#"{"profile":"other"}"#,
        r#"{"skipped":"opt_out"}"#,
        "[]",
    ] {
        let pod = with(driver(), STATUS, forged);
        assert_eq!(
            inject(&catalog, &pod),
            honest,
            "{forged}: everything is injected, the annotation is ours"
        );
        let own = with(pod, "/spec/priorityClassName", "mine");
        let answer = review(&catalog, &body(TEAM, &own));
        let text = String::from_utf8_lossy(&answer.body.to_vec()).into_owned();
        let names_ours = forged.contains("team-a");
        assert_eq!(answer.status, if names_ours { 503 } else { 200 }, "{text}");
        assert!(answer.record.message.contains("profile team-a enforces"), "{text}");
        assert!(answer.status == 503 || text.contains(r#""allowed":false"#), "{text}");
    }
}

#[test]
fn pod_fields_of_a_moment_ago_are_no_mistake_of_the_pod() {
    let enforced = |class: &str| {
        format!(
            "{{enforce: [priorityClassName], common: {{template: {{spec: {{priorityClassName: {class}}}}}}}}}"
        )
    };
    let sidecar = |image: &str| {
        format!("common: {{template: {{spec: {{containers: [{{name: logs, image: '{image}'}}]}}}}}}")
    };
    let pool = |pool: &str| format!("nodeSelector: {{default: {{pool: {pool}}}}}");
    for (old, new) in
        [(enforced("p1"), enforced("p2")), (sidecar("logs:1"), sidecar("logs:2")), (pool("a"), pool("b"))]
    {
        let old = world().spec(&old).catalog();
        let given = inject(&old, &driver());
        let after = world().spec(&new).compile(Some(&old));
        assert_eq!(untouched(&after, TEAM, &given), "complete", "{new}");
    }
    // The choices of a job as well: a variant that is gone, an opt-out that is not allowed any more.
    let variant = with(driver(), "/metadata/labels/spark-injector.io~1variant", "p1");
    let opted_out = with(driver(), "/metadata/labels/spark-injector.io~1inject", "disabled");
    let old = world().spec("{allowOptOut: true, variants: {p1: {}}}").catalog();
    let new = world().spec("").compile(Some(&old));
    assert_eq!(untouched(&new, TEAM, &admit(&old, TEAM, &variant).pod), "complete");
    assert_eq!(untouched(&new, TEAM, &admit(&old, TEAM, &opted_out).pod), "opt_out");
    for fresh in [variant, opted_out] {
        assert_eq!(denied(&new, &fresh).0, 403);
    }
}
