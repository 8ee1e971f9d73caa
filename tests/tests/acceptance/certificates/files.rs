//! A pair of files that is replaced as the kubelet does it: a symlink above them is swapped.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use acceptance::Authority;
use acceptance::client::Namespace;
use acceptance::cluster::Cluster;
use acceptance::process::wait_until;
use acceptance::registration::Registration;
use acceptance::webhook::{Certificate, Options, Webhook};
use serde_json::json;

use super::replicas::{PATIENCE, WINDOW, text};
use crate::world::{driver, profile};
use acceptance::witness::{Witness, served};

/// Writes a version of a projected Secret and swaps it in.
fn project(folder: &Path, version: &str, certificate: &str, key: &str) {
    let data = folder.join(format!("..{version}"));
    std::fs::create_dir(&data).expect("a folder");
    std::fs::write(data.join("tls.crt"), certificate).expect("a file");
    std::fs::write(data.join("tls.key"), key).expect("a file");
    let link = folder.join("..data_tmp");
    std::os::unix::fs::symlink(format!("..{version}"), &link).expect("a link");
    std::fs::rename(link, folder.join("..data")).expect("the link in its place");
}

#[test]
fn files_that_are_replaced_under_load_cost_no_pod() {
    let api = Cluster::shared().admin();
    let team = Namespace::new("files").opted_in().label("acceptance/world", "files");
    api.create_namespace(&team);
    let inputs = tempfile::tempdir().expect("a folder");
    let list =
        json!({"apiVersion": "v1", "kind": "List", "items": [team.object(), profile("files", &json!({}))]});
    std::fs::write(inputs.path().join("objects.json"), list.to_string()).expect("a file");

    let authority = Authority::new("issuer");
    let mounted = tempfile::tempdir().expect("a folder");
    let first = authority.server("first");
    project(mounted.path(), "0", &first.certificate, &first.key);
    for name in ["tls.crt", "tls.key"] {
        let link = Path::new("..data").join(name);
        std::os::unix::fs::symlink(link, mounted.path().join(name)).expect("a link");
    }
    let (certificate, key) = (mounted.path().join("tls.crt"), mounted.path().join("tls.key"));
    let args = ["--from", text(inputs.path()), "--tls-cert", text(&certificate), "--tls-key", text(&key)];
    let args = args.iter().chain(&["--tls-poll", "100ms"]).map(ToString::to_string).collect();
    let webhook =
        Webhook::launch(&Options { args, certificate: Certificate::Arguments, ..Options::default() });
    let registration = Registration::new("files", &webhook.url(), authority.certificate());
    let registered = registration.only("acceptance/world", "files").register(api);
    registered.wait("files");

    let witness = Witness::start(api, "files", "127.0.0.1", vec![webhook.review_address()], WINDOW);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let creator = scope.spawn(|| {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return number;
                }
                api.create(&driver("files", &format!("driver-{number}"))).expect(201);
            }
            0
        });
        for version in 1..6 {
            let before = served(webhook.review_address()).expect("a certificate");
            let next = authority.server("next");
            // Half of a new pair, as if it were written file by file; then all of it.
            let mark = webhook.log_mark();
            project(mounted.path(), &format!("{version}-half"), &next.certificate, &first.key);
            webhook.wait_for_log_after(mark, "the key does not belong to the certificate");
            assert_eq!(served(webhook.review_address()).expect("a certificate"), before);
            project(mounted.path(), &version.to_string(), &next.certificate, &next.key);
            let after = wait_until(PATIENCE, || {
                served(webhook.review_address()).ok().filter(|chain| *chain != before)
            });
            assert!(after.is_some(), "the new certificate is not served");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(creator.join().expect("no refusal") > 0);
    });
    let seen = witness.tell();
    assert_eq!(seen.troubles, Vec::<String>::new());
    assert_eq!(webhook.admin("/readyz").0, 200);
}
