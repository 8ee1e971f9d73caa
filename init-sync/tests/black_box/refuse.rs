//! Wrong input of every kind ends with its own code, one line that names the culprit, and no file at all.

use std::collections::BTreeMap;

use init_sync::{Encoding, Entry, Exit, MANIFEST_VARIABLE};

use crate::harness::{Delivery, Finished, run, tree};

const SECRET: &str = "c2VjcmV0LXNlY3JldA==";

/// Two files, the second of which a test spoils.
fn delivery() -> Delivery {
    Delivery::default().with("good", 0o444, b"good").with("1/bad", 0o444, b"secret-secret")
}

/// Runs in a fresh directory, which must stay empty, and looks for leaked content.
fn run_in_vain(environment: &BTreeMap<String, String>) -> Finished {
    let root = tempfile::tempdir().unwrap();
    let finished = run(environment, &["--to", root.path().to_str().unwrap()]);
    assert!(tree(root.path()).is_empty(), "{finished:?}");
    for leaked in [SECRET, &SECRET[..8], "secret-secret"] {
        assert!(!finished.stderr.contains(leaked) && !finished.stdout.contains(leaked), "{finished:?}");
    }
    finished
}

#[test]
fn a_missing_variable_is_named() {
    let mut environment = delivery().environment();
    environment.remove("bad");
    run_in_vain(&environment).assert_failed(Exit::MissingVariable, "1/bad: variable bad is not set");
}

#[test]
fn what_is_not_canonical_base64_is_refused() {
    let spoiled = [
        &SECRET[..SECRET.len() - 1],
        &SECRET[..SECRET.len() - 2],
        "c2VjcmV0LXNlY3JldB==",
        "c2VjcmV0LXNlY3JldA==\n",
        " c2VjcmV0LXNlY3JldA==",
        "c2VjcmV0 LXNlY3JldA==",
        "tcp://10.96.0.1:443",
        "secret-secret",
        "$(bad)",
    ];
    for value in spoiled {
        let mut environment = delivery().environment();
        environment.insert("bad".to_owned(), value.to_owned());
        run_in_vain(&environment).assert_failed(Exit::NotBase64, "1/bad: variable bad");
    }
}

#[test]
fn another_size_or_content_is_refused() {
    for (value, exit) in [
        ("", Exit::SizeMismatch),
        ("c2VjcmV0LXNlY3Jl", Exit::SizeMismatch),
        ("c2VjcmV0LXNlY3JldCE=", Exit::SizeMismatch),
        ("c2VjcmV0LXNlY3JldQ==", Exit::DigestMismatch),
    ] {
        let mut environment = delivery().environment();
        environment.insert("bad".to_owned(), value.to_owned());
        run_in_vain(&environment).assert_failed(exit, "1/bad: ");
    }
}

#[test]
fn chunks_are_neither_left_out_nor_swapped() {
    let chunks = vec![("f0.0".to_owned(), 6), ("f0.1".to_owned(), usize::MAX)];
    let delivery = Delivery::default().with_chunks("bad", 0o444, b"secret-secret", Encoding::Plain, chunks);
    let mut environment = delivery.environment();
    environment.remove("f0.1");
    run_in_vain(&environment).assert_failed(Exit::MissingVariable, "bad: variable f0.1");

    let mut environment = delivery.environment();
    let (first, second) = (environment["f0.0"].clone(), environment["f0.1"].clone());
    environment.extend([("f0.0".to_owned(), second), ("f0.1".to_owned(), first)]);
    run_in_vain(&environment).assert_failed(Exit::DigestMismatch, "bad: ");
}

#[test]
fn a_bomb_is_not_inflated_and_garbage_is_no_stream() {
    let bomb = Delivery::default().with_chunks(
        "1/bad",
        0o444,
        &vec![b'x'; 12_000_000],
        Encoding::Deflate,
        vec![("bad".to_owned(), usize::MAX)],
    );
    let mut spoiled = Delivery::default().with("good", 0o444, b"good");
    spoiled.entries.extend(bomb.entries);
    if let Some(Entry::File(file)) = spoiled.entries.last_mut() {
        file.size = 1_000;
    }
    spoiled.variables.extend(bomb.variables);
    run_in_vain(&spoiled.environment()).assert_failed(Exit::SizeMismatch, "1/bad: more bytes than the 1000");

    let mut environment = spoiled.environment();
    environment.insert("bad".to_owned(), SECRET.to_owned());
    run_in_vain(&environment).assert_failed(Exit::BadDeflate, "1/bad: ");
}

#[test]
fn what_other_variables_say_does_not_matter() {
    let root = tempfile::tempdir().unwrap();
    let delivery = delivery();
    let mut environment = delivery.environment();
    for name in ["INIT_SYNC_MANIFEST_PORT", "INIT_SYNC_SERVICE_HOST", "bad.0", "BAD", "f0", "PATH"] {
        environment.insert(name.to_owned(), "tcp://10.96.0.1:443".to_owned());
    }
    run(&environment, &["--to", root.path().to_str().unwrap()]).assert_done();
    delivery.assert_in(root.path());
}

#[test]
fn a_bad_manifest_is_refused() {
    let run_with = |manifest: &str| {
        let mut environment = delivery().environment();
        environment.insert(MANIFEST_VARIABLE.to_owned(), manifest.to_owned());
        run_in_vain(&environment)
    };
    run_in_vain(&delivery().variables).assert_failed(Exit::NoManifest, "INIT_SYNC_MANIFEST is not set");
    for manifest in ["", SECRET, "tcp://10.96.0.1:443", "{\"version\":1}"] {
        run_with(manifest).assert_failed(Exit::MalformedManifest, "INIT_SYNC_MANIFEST, line 1: ");
    }
    let newer = delivery().manifest().replace("init-sync 1", "init-sync 2");
    run_with(&newer).assert_failed(Exit::UnknownProtocol, "protocol 2");
    for path in ["../bad", "/bad", "a/../../bad", "..bad", "a\u{1}b"] {
        let manifest = delivery().manifest().replace("1/bad", path);
        run_with(&manifest).assert_failed(Exit::MalformedManifest, "line 3: ");
    }
    let twice = delivery().manifest().replace("1/bad", "./good");
    run_with(&twice).assert_failed(Exit::MalformedManifest, "line 3: same path as line 2");
    let through = delivery().manifest().replace("1/bad", "good/bad");
    run_with(&through).assert_failed(Exit::MalformedManifest, "line 3: ");
    let setuid = delivery().manifest().replace("f 0444 13", "f 4755 13");
    run_with(&setuid).assert_failed(Exit::MalformedManifest, "line 3: the mode");
    let large = delivery().manifest().replace("f 0444 13", "f 0444 99999999");
    run_with(&large).assert_failed(Exit::LimitExceeded, "line 3: ");
}

/// All of it would be gigabytes, and the end of the process.
#[test]
fn a_variable_that_is_named_again_and_again_is_no_way_to_more_memory() {
    let mut environment = delivery().environment();
    environment.insert("bad".to_owned(), "A".repeat(120_000));
    let names = format!("plain {}bad 1/bad", "bad,".repeat(25_000));
    let manifest = delivery().manifest().replace("plain bad 1/bad", &names);
    assert!(manifest.len() > 100_000, "{manifest}");
    environment.insert(MANIFEST_VARIABLE.to_owned(), manifest);
    run_in_vain(&environment).assert_failed(Exit::LimitExceeded, "more than 16777216 decoded bytes");
}

#[test]
fn names_alone_are_checked_as_well() {
    let root = tempfile::tempdir().unwrap();
    let to = root.path().to_str().unwrap();
    let variables =
        BTreeMap::from([("bad".to_owned(), "Zg=".to_owned()), ("good".to_owned(), "Zg==".to_owned())]);
    run(&variables, &["--to", to, "good", "bad"]).assert_failed(Exit::NotBase64, "variable bad");
    run(&variables, &["--to", to, "good", "gone"]).assert_failed(Exit::MissingVariable, "variable gone");
    let many: Vec<String> = (0..257).map(|index| format!("v{index}")).collect();
    let arguments: Vec<&str> = ["--to", to].into_iter().chain(many.iter().map(String::as_str)).collect();
    run(&variables, &arguments).assert_failed(Exit::LimitExceeded, "256 files");
    assert!(tree(root.path()).is_empty());
}
