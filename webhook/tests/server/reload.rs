//! Files that change under a running server.

use std::fs;

use rcgen::KeyPair;
use serde_json::Value;

use super::client::{Client, review, write_pair};
use super::process::{PROFILE, Server, wait_until};

#[test]
fn another_certificate_is_served_and_a_bad_one_is_not() {
    let server = Server::start(&[]);
    let first = server.folder.path().join("first.crt");
    let certificate = server.folder.path().join("tls.crt");
    fs::copy(&certificate, &first).unwrap();
    fs::write(server.folder.path().join("tls.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    server.wait_for_log("the old one stays");
    assert_eq!(Client::connect(server.review, &first).unwrap().post(&review("old")).status, 200);
    write_pair(server.folder.path());
    server.wait_for_log("another certificate is served");
    assert_eq!(Client::connect(server.review, &certificate).unwrap().post(&review("new")).status, 200);
    assert!(Client::connect(server.review, &first).is_err());
    let (_, metrics) = server.get("/metrics");
    assert!(metrics.contains("spark_injector_tls_reloads_total{result=\"ok\"} 1"), "{metrics}");
}

#[test]
fn profiles_are_reloaded_and_broken_ones_are_not() {
    let server = Server::start(&[]);
    let file = server.folder.path().join("profiles/a.yaml");
    fs::write(&file, "a: [").unwrap();
    let line = server.wait_for_log("the last good ones stay");
    assert!(line.contains("a.yaml"), "{line}");
    let answer: Value = serde_json::from_slice(&server.connect().post(&review("u")).body).unwrap();
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
    // It goes on, and so does the count: an alert could not tell otherwise.
    let failures = || {
        let (_, metrics) = server.get("/metrics");
        let line = "spark_injector_catalog_reloads_total{result=\"error\"} ";
        let count = metrics.lines().find_map(|found| found.strip_prefix(line)).map(str::to_owned);
        count.and_then(|count| count.parse::<u64>().ok()).unwrap_or_default()
    };
    wait_until("three failures", || failures() >= 3);
    fs::write(&file, PROFILE.replace("enabled", "disabled")).unwrap();
    server.wait_for_log("profiles compiled");
    let answer: Value = serde_json::from_slice(&server.connect().post(&review("u")).body).unwrap();
    assert_eq!(answer["response"].get("patchType"), None, "{answer}");
}
