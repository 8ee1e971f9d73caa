//! The built binary, killed at, or refused, each of its system calls by strace. The unit tests of the publisher do
//! the same without strace, at each call that they know of.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use init_sync::Exit;
use tempfile::TempDir;

use crate::harness::{BINARY, Delivery, Finished, run_command, skipped, tree};

fn delivery() -> Delivery {
    Delivery::default()
        .with_directory("mount/point")
        .with("old", 0o444, b"new content")
        .with("1/2/nested", 0o440, b"nested")
        .with("1/2/other", 0o400, &[7; 10_000])
}

/// A directory with an older file in it.
fn prepared() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("old"), "old content").unwrap();
    root
}

fn traced(flags: &[&str], to: &Path) -> Finished {
    let mut command = Command::new("strace");
    command.args(flags).args(["--", BINARY, "--to"]).arg(to);
    run_command(command, &delivery().environment())
}

/// How often the binary makes which system call; nothing where strace cannot tell.
fn calls() -> Option<BTreeMap<String, usize>> {
    let root = prepared();
    let log = tempfile::NamedTempFile::new().unwrap();
    let works =
        Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status().is_ok_and(|s| s.success());
    if !works {
        skipped("no strace that works: the binary is not killed at its system calls");
        return None;
    }
    traced(&["-qq", "-o", log.path().to_str().unwrap()], root.path()).assert_done();
    let mut calls = BTreeMap::new();
    for line in fs::read_to_string(log.path()).unwrap().lines() {
        if let Some((name, _)) = line.split_once('(') {
            *calls.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    Some(calls)
}

#[test]
fn killed_at_any_system_call_leaves_complete_files_only() {
    let Some(calls) = calls() else {
        return;
    };
    let mut killed = 0;
    for (name, count) in &calls {
        for nth in 1..=*count {
            let root = prepared();
            let inject = format!("inject={name}:signal=SIGKILL:when={nth}");
            let trace = format!("trace={name}");
            let finished = traced(&["-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject], root.path());
            // strace dies of the signal that killed what it traced.
            killed += usize::from(finished.code != Some(0));
            let mut found = tree(root.path());
            found.retain(|path, (_, content)| {
                let hidden = path.rsplit('/').next().unwrap().starts_with(".init-sync-");
                content.is_some() && !hidden
            });
            for (path, file) in found {
                let old = path == "old" && file.1.as_deref() == Some(b"old content");
                assert!(old || file == delivery().expected[&path], "{name} {nth}: {path}");
            }
            delivery().run(root.path()).assert_done();
            delivery().assert_in(root.path());
        }
    }
    assert!(killed > 20, "killed only {killed} times of {calls:?}");
}

#[test]
fn without_openat2_the_files_are_the_same() {
    if calls().is_none() {
        return;
    }
    for error in ["ENOSYS", "EPERM"] {
        let root = prepared();
        let inject = format!("inject=openat2:error={error}");
        traced(&["-qq", "-o", "/dev/null", "-e", &inject], root.path()).assert_done();
        delivery().assert_in(root.path());
    }
}

#[test]
fn each_failure_of_a_disk_has_its_own_code_and_leaves_nothing() {
    if calls().is_none() {
        return;
    }
    for (error, exit) in [
        ("ENOSPC", Exit::NoSpace),
        ("EDQUOT", Exit::QuotaExceeded),
        ("EIO", Exit::InputOutput),
        ("EROFS", Exit::ReadOnly),
        ("EACCES", Exit::PermissionDenied),
    ] {
        let root = prepared();
        let before = tree(root.path());
        // The third file's content; the line on stderr is a later write.
        let inject = format!("inject=write:error={error}:when=3");
        let finished = traced(&["-qq", "-o", "/dev/null", "-e", &inject], root.path());
        finished.assert_failed(exit, "1/2/other: cannot write it: ");
        assert_eq!(tree(root.path()), before);
    }
}
