//! Pods that come before the server knows enough.

use std::time::{Duration, Instant};

use serde_json::Value;
use spark_injector::server::Limits;

use super::client::review;
use super::local::{Local, compiled};
use super::process::PROFILE;

#[test]
fn nothing_is_answered_before_the_first_catalog() {
    let server = Local::start_empty(Limits::default());
    let (status, why) = server.get("/readyz");
    assert!(status == 503 && why.contains("not all read yet"), "{status} {why}");
    assert_eq!(server.get("/livez").0, 200);
    let response = server.connect().post(&review("u"));
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    assert_eq!(response.header("connection"), Some("close"));
    server.wait_for_metric(
        "spark_injector_admission_requests_total{outcome=\"unavailable\",reason=\"not_synced\"} 1",
    );
    server.catalog.store(compiled(PROFILE));
    assert_eq!(server.get("/readyz").0, 200);
    assert_eq!(server.connect().post(&review("u")).status, 200);
}

#[test]
fn a_namespace_that_becomes_known_in_time_is_waited_for() {
    let server = Local::start(Limits::default());
    server.catalog.store(compiled(&PROFILE.replace("name: team-a", "name: another")));
    let mut client = server.connect();
    let response = std::thread::scope(|scope| {
        let asked = scope.spawn(|| client.post(&review("u")));
        server.wait_for_metric("spark_injector_admission_requests_in_flight 1");
        // A change that does not help is waited through.
        server.catalog.store(compiled(&PROFILE.replace("name: team-a", "name: a-third")));
        server.catalog.store(compiled(PROFILE));
        asked.join().unwrap()
    });
    let answer: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((response.status, &answer["response"]["patchType"]), (200, &"JSONPatch".into()));
}

#[test]
fn a_label_that_the_api_server_saw_first_is_waited_for() {
    let without = PROFILE.replace("labels: {spark-injector.io/inject: enabled}", "labels: {}");
    let server = Local::start(Limits::default());
    server.catalog.store(compiled(&without));
    let mut client = server.connect();
    let response = std::thread::scope(|scope| {
        let asked = scope.spawn(|| client.post(&review("u")));
        server.wait_for_metric("spark_injector_admission_requests_in_flight 1");
        server.catalog.store(compiled(PROFILE));
        asked.join().unwrap()
    });
    let answer: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((response.status, &answer["response"]["patchType"]), (200, &"JSONPatch".into()));

    // Whoever asks about namespaces without the label, against the manifests, is answered all the same.
    server.catalog.store(compiled(&without));
    let response = client.post(&review("v"));
    let answer: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((response.status, &answer["response"]["allowed"]), (200, &true.into()));
    assert!(answer["response"]["patch"].is_null(), "{answer}");
    let decision = &answer["response"]["auditAnnotations"]["decision"];
    assert_eq!(decision, "skipped: namespace_not_opted_in");
}

#[test]
fn a_namespace_that_stays_unknown_is_asked_for_again() {
    let server = Local::start(Limits::default());
    server.catalog.store(compiled(&PROFILE.replace("name: team-a", "name: another")));
    let started = Instant::now();
    let response = server.connect().post(&review("u"));
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    assert!(started.elapsed() >= Duration::from_millis(500));
}
