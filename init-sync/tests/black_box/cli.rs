//! The command line: what is allowed, what is refused, and what is said where.

use std::collections::BTreeMap;
use std::fs;

use init_sync::Exit;

use crate::harness::{Delivery, run, tree};

fn none() -> BTreeMap<String, String> {
    BTreeMap::new()
}

#[test]
fn help_lists_every_exit_code_and_so_does_the_readme() {
    let help = run(&none(), &["--help"]);
    help.assert_done();
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    for exit in Exit::ALL {
        let line = format!("  {:>3}  {exit}", exit.code());
        assert!(help.stdout.lines().any(|found| found.starts_with(&line)), "{line:?}");
        let row = format!("| {} | {} | {} |", exit.code(), exit.description(), exit.remedy());
        assert!(readme.lines().any(|found| found == row), "missing in README.md: {row}");
    }
    assert_eq!(run(&none(), &["-h"]).stdout, help.stdout);
    assert!(help.stdout.lines().all(|line| line.len() <= 120));
}

#[test]
fn version_is_the_crates() {
    for flag in ["--version", "-V"] {
        let finished = run(&none(), &[flag]);
        finished.assert_done();
        assert_eq!(finished.stdout, concat!("init-sync ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let cases: [(&[&str], &str); 17] = [
        (&["--too", "/tmp"], "unknown option \"--too\"; allowed are --to DIR"),
        (&["-x"], "unknown option \"-x\""),
        (&["-"], "unknown option \"-\""),
        (&["--to"], "--to needs a value"),
        (&["--to="], "--to needs a value"),
        (&["--quiet=yes"], "\"--quiet\" takes no value"),
        (&["name"], "need --to DIR"),
        (&["--to", "/tmp", "a/b"], "name \"a/b\" has a `/`"),
        (&["--to", "/tmp", ".."], "name \"..\""),
        (&["--to", "/tmp", "/a"], "name \"/a\": the path is absolute"),
        (&["--to", "/tmp", "a\nb"], "name \"a\\nb\""),
        (&["--to", "/tmp", "a", "a"], "name \"a\" is given twice"),
        (&["--to", "/tmp", "A=s3cr3t"], "name \"A\" has a `=`"),
        (&["--to", "/tmp", "--mode", "8", "a"], "--mode 8: must be three octal digits"),
        (&["--to", "/tmp", "--mode=4755", "a"], "--mode 4755"),
        (&["--to", "/tmp", "--mode", "0440"], "--mode goes with names"),
        (&["--self-test", "a"], "--self-test takes no names"),
    ];
    for (arguments, about) in cases {
        run(&none(), arguments).assert_failed(Exit::Usage, about);
    }
}

#[test]
fn quiet_says_nothing_on_success() {
    let root = tempfile::tempdir().unwrap();
    let delivery = Delivery::default().with("a", 0o444, b"a");
    let finished = run(&delivery.environment(), &["-q", "--to", root.path().to_str().unwrap()]);
    finished.assert_done();
    assert_eq!(finished.stdout, "");
}

#[test]
fn self_test_passes_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    // As a killed run leaves it.
    fs::create_dir_all(root.path().join(".init-sync-self-test/directory")).unwrap();
    fs::write(root.path().join(".init-sync-self-test/empty"), "half").unwrap();
    let finished = run(&none(), &["--self-test", "--to", root.path().to_str().unwrap()]);
    finished.assert_done();
    assert_eq!(finished.stdout, "init-sync: self-test passed\n");
    assert!(tree(root.path()).is_empty());
    let missing = root.path().join("missing");
    run(&none(), &["--self-test", "--to", missing.to_str().unwrap()])
        .assert_failed(Exit::NoTarget, "missing");
}

#[test]
fn a_failure_is_in_the_termination_message_too() {
    let root = tempfile::tempdir().unwrap();
    let log = root.path().join("log");
    fs::write(&log, "something longer than what is written over it, ".repeat(20)).unwrap();
    for arguments in [
        &["--termination-log", log.to_str().unwrap()][..],
        &["--termination-log", log.to_str().unwrap(), "--x"],
    ] {
        let finished = run(&none(), arguments);
        assert_ne!(finished.code, Some(0));
        assert_eq!(fs::read_to_string(&log).unwrap(), finished.stderr);
    }
    let missing = root.path().join("missing");
    run(&none(), &["--termination-log", missing.to_str().unwrap()]).assert_failed(Exit::NoManifest, "");
    assert!(!missing.exists());
}

#[test]
fn a_missing_target_is_named() {
    let root = tempfile::tempdir().unwrap();
    let delivery = Delivery::default().with("a", 0o444, b"a");
    delivery.run(&root.path().join("mis\nsing")).assert_failed(Exit::NoTarget, "mis\\nsing");
}
