//! The publisher on a kernel that stops or fails at any step, and on directories that somebody prepared.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use init_sync::Exit;
use rustix::fs::CWD;
use tempfile::TempDir;

use super::*;
use crate::kernel::{Linux, Resolution};

/// Linux, except at one step.
struct Faulty {
    linux: Linux,
    step: Cell<usize>,
    at: usize,
    fault: Fault,
    longest_write: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// From this step on, nothing happens any more.
    Killed,
    /// This step alone fails.
    Fails(Errno),
}

impl Faulty {
    fn new(resolution: Resolution, at: usize, fault: Fault) -> Self {
        Self { linux: Linux::new(resolution), step: Cell::new(0), at, fault, longest_write: usize::MAX }
    }

    fn step<T>(&self, call: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        let step = self.step.replace(self.step.get() + 1);
        match self.fault {
            Fault::Killed if step >= self.at => Err(Errno::IO),
            Fault::Fails(errno) if step == self.at => Err(errno),
            _ => call(),
        }
    }

    fn was_reached(&self) -> bool {
        self.step.get() > self.at
    }
}

impl Kernel for Faulty {
    fn open_target(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.step(|| self.linux.open_target(path))
    }

    fn open(&self, at: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        self.step(|| self.linux.open(at, path, flags))
    }

    fn status(&self, at: BorrowedFd<'_>, name: &str) -> Result<Stat, Errno> {
        self.step(|| self.linux.status(at, name))
    }

    fn status_of(&self, file: BorrowedFd<'_>) -> Result<Stat, Errno> {
        self.step(|| self.linux.status_of(file))
    }

    fn make_directory(&self, at: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
        self.step(|| self.linux.make_directory(at, name))
    }

    fn set_mode(&self, file: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
        self.step(|| self.linux.set_mode(file, mode))
    }

    fn read(&self, file: BorrowedFd<'_>, into: &mut [u8]) -> Result<usize, Errno> {
        self.step(|| self.linux.read(file, into))
    }

    fn write(&self, file: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
        if self.fault == Fault::Killed && self.step.get() == self.at {
            // Killed in the middle of the call.
            let _ = self.linux.write(file, &bytes[..bytes.len() / 2]);
        }
        self.step(|| self.linux.write(file, &bytes[..bytes.len().min(self.longest_write)]))
    }

    fn rename(&self, at: BorrowedFd<'_>, from: &str, to: &str) -> Result<(), Errno> {
        self.step(|| self.linux.rename(at, from, to))
    }

    fn remove(&self, at: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
        self.step(|| self.linux.remove(at, name))
    }

    fn remove_directory(&self, at: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
        self.step(|| self.linux.remove_directory(at, name))
    }
}

const RESOLUTIONS: [Resolution; 2] = [Resolution::Openat2, Resolution::Elementwise];

/// Paths, modes and contents of a directory tree; a directory's content is nothing.
type Tree = BTreeMap<String, (u32, Option<Vec<u8>>)>;

fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let status = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let content = status.is_file().then(|| fs::read(&path).unwrap());
            tree.insert(name, (status.mode() & 0o7777, content));
            if status.is_dir() {
                left.push(path);
            }
        }
    }
    tree
}

/// What to publish.
struct Plan<'a> {
    directories: Vec<&'a str>,
    files: Vec<PlannedFile<'a>>,
}

struct PlannedFile<'a> {
    path: &'a str,
    mode: u32,
    content: &'a [u8],
}

fn publish(kernel: &impl Kernel, target: &Path, plan: &Plan<'_>) -> Result<(), PublishError> {
    let mut publisher = Publisher::open(kernel, target)?;
    for path in &plan.directories {
        publisher.directory(path)?;
    }
    for file in &plan.files {
        publisher.stage(file.path, file.mode, file.content)?;
    }
    publisher.commit()
}

fn plan() -> Plan<'static> {
    let file = |path, mode, content| PlannedFile { path, mode, content };
    Plan {
        directories: vec!["mount", "deep/mount/point"],
        files: vec![
            file("old", 0o444, b"new content"),
            file("same", 0o444, b"same content"),
            file("empty", 0o444, b""),
            file("keytab", 0o400, b"\x05\x02\x00\xff"),
            file("a/b/c/nested", 0o440, b"nested"),
            file("a/b/other", 0o644, b"other"),
        ],
    }
}

/// One file as planned, one with old content, and what a killed run left of a third.
fn prepared() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, content, mode) in [
        ("same", "same content", 0o444),
        ("old", "old content", 0o640),
        (&*temporary_name("keytab"), "half", 0o600),
    ] {
        fs::write(root.path().join(name), content).unwrap();
        fs::set_permissions(root.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    root
}

fn assert_published(root: &Path) {
    let mut expected = Tree::new();
    for directory in ["mount", "deep", "deep/mount", "deep/mount/point", "a", "a/b", "a/b/c"] {
        expected.insert(directory.to_owned(), (0o755, None));
    }
    for file in plan().files {
        expected.insert(file.path.to_owned(), (file.mode, Some(file.content.to_vec())));
    }
    assert_eq!(tree(root), expected);
}

#[test]
fn publishes_files_and_directories_with_their_modes() {
    for resolution in RESOLUTIONS {
        let root = prepared();
        publish(&Linux::new(resolution), root.path(), &plan()).unwrap();
        assert_published(root.path());
    }
}

#[test]
fn killed_at_any_step_leaves_complete_files_only_and_the_next_run_repairs() {
    for resolution in RESOLUTIONS {
        for at in 0.. {
            let root = prepared();
            let faulty = Faulty::new(resolution, at, Fault::Killed);
            let result = publish(&faulty, root.path(), &plan());
            for (path, found) in tree(root.path()) {
                let hidden = path.rsplit('/').next().unwrap().starts_with(TEMPORARY_PREFIX);
                if hidden || found.1.is_none() {
                    continue;
                }
                let file = plan().files.into_iter().find(|file| file.path == path).unwrap();
                let old = path == "old" && found == (0o640, Some(b"old content".to_vec()));
                assert!(
                    old || found == (file.mode, Some(file.content.to_vec())),
                    "step {at}: {path}: {found:?}"
                );
            }
            publish(&Linux::new(resolution), root.path(), &plan()).unwrap();
            assert_published(root.path());
            if !faulty.was_reached() {
                result.unwrap();
                assert!(at > 40, "only {at} steps were tried");
                break;
            }
        }
    }
}

#[test]
fn a_failure_at_any_step_leaves_nothing_new() {
    for (errno, exit) in [
        (Errno::NOSPC, Exit::NoSpace),
        (Errno::DQUOT, Exit::QuotaExceeded),
        (Errno::IO, Exit::InputOutput),
        (Errno::ROFS, Exit::ReadOnly),
        (Errno::ACCESS, Exit::PermissionDenied),
    ] {
        for at in 0.. {
            let root = prepared();
            let before = tree(root.path());
            let faulty = Faulty::new(Resolution::Openat2, at, Fault::Fails(errno));
            let result = publish(&faulty, root.path(), &plan());
            if !faulty.was_reached() {
                result.unwrap();
                break;
            }
            // Some steps may fail: comparing with what is there, removing what may not be there.
            let Err(error) = result else {
                continue;
            };
            assert_eq!(error.exit(), exit, "step {at}: {error}");
            let mut after = tree(root.path());
            if after["old"].1.as_deref() == Some(b"new content") {
                after.insert("old".to_owned(), before["old"].clone());
            }
            after.retain(|path, _| *path != temporary_name("keytab"));
            let kept = before.iter().filter(|(path, _)| **path != temporary_name("keytab"));
            assert!(after.iter().eq(kept), "step {at}: {error}: {after:?}");
        }
    }
}

#[test]
fn short_writes_are_continued() {
    let root = prepared();
    let mut faulty = Faulty::new(Resolution::Openat2, usize::MAX, Fault::Killed);
    faulty.longest_write = 3;
    publish(&faulty, root.path(), &plan()).unwrap();
    assert_published(root.path());
}

#[test]
fn a_second_run_touches_nothing() {
    let root = prepared();
    let linux = Linux::new(Resolution::Openat2);
    publish(&linux, root.path(), &plan()).unwrap();
    let status = |path| {
        fs::metadata(root.path().join(path)).map(|s| (s.ino(), s.mtime_nsec(), s.ctime_nsec())).unwrap()
    };
    let before: Vec<_> = plan().files.iter().map(|file| status(file.path)).collect();
    publish(&linux, root.path(), &plan()).unwrap();
    let after: Vec<_> = plan().files.iter().map(|file| status(file.path)).collect();
    assert_eq!(before, after);
}

#[test]
fn a_large_file_is_compared_to_its_last_byte() {
    let root = tempfile::tempdir().unwrap();
    let linux = Linux::new(Resolution::Openat2);
    let mut content = vec![7; COMPARED_BYTES * 2 + 1];
    fs::write(root.path().join("large"), &content).unwrap();
    fs::set_permissions(root.path().join("large"), fs::Permissions::from_mode(0o444)).unwrap();
    *content.last_mut().unwrap() = 8;
    let files = vec![PlannedFile { path: "large", mode: 0o444, content: &content }];
    publish(&linux, root.path(), &Plan { directories: vec![], files }).unwrap();
    assert_eq!(fs::read(root.path().join("large")).unwrap(), content);
}

/// Puts something at a path.
type Plant<'a> = &'a dyn Fn(&Path);

#[test]
fn whatever_else_is_in_a_files_place_is_refused() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("victim"), "untouched").unwrap();
    let fifo = |path: &Path| {
        rustix::fs::mknodat(CWD, path, FileType::Fifo, 0o644.into(), 0).unwrap();
    };
    let cases: [(&str, Plant); 10] = [
        ("keytab", &|path| symlink(outside.path().join("victim"), path).unwrap()),
        ("keytab", &|path| symlink("/proc/self/environ", path).unwrap()),
        ("keytab", &|path| symlink("nowhere", path).unwrap()),
        ("keytab", &|path| fs::create_dir(path).unwrap()),
        ("keytab", &fifo),
        ("a", &|path| symlink(outside.path(), path).unwrap()),
        ("a", &|path| symlink("nowhere", path).unwrap()),
        ("a", &|path| fs::write(path, "a file").unwrap()),
        ("a", &fifo),
        ("mount", &|path| symlink(outside.path(), path).unwrap()),
    ];
    for resolution in RESOLUTIONS {
        for (index, (name, plant)) in cases.iter().enumerate() {
            let root = tempfile::tempdir().unwrap();
            plant(&root.path().join(name));
            let error = publish(&Linux::new(resolution), root.path(), &plan()).unwrap_err();
            assert_eq!(error.exit(), Exit::Occupied, "case {index}, {resolution:?}: {error}");
            let names: Vec<_> = tree(root.path()).into_keys().collect();
            assert_eq!(names, [*name], "case {index}, {resolution:?}");
            let victim = BTreeMap::from([("victim".to_owned(), (0o644, Some(b"untouched".to_vec())))]);
            assert_eq!(tree(outside.path()), victim, "case {index}, {resolution:?}");
        }
    }
}

#[test]
fn a_planted_temporary_file_is_removed_and_never_written_through() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    for resolution in RESOLUTIONS {
        let root = tempfile::tempdir().unwrap();
        symlink(&victim, root.path().join(temporary_name("old"))).unwrap();
        fs::hard_link(&victim, root.path().join(temporary_name("same"))).unwrap();
        publish(&Linux::new(resolution), root.path(), &plan()).unwrap();
        assert_published(root.path());
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    }
}

#[test]
fn a_missing_target_has_its_own_code() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    for name in ["missing", "file", "missing/deeper"] {
        let error = publish(&Linux::new(Resolution::Openat2), &root.path().join(name), &plan()).unwrap_err();
        assert_eq!(error.exit(), Exit::NoTarget, "{name}");
    }
}

#[test]
fn bits_that_the_umask_took_are_restored_and_set_group_id_stays() {
    let root = tempfile::tempdir().unwrap();
    for (name, mode) in [("a", 0o2700), ("mount", 0o2775)] {
        fs::create_dir(root.path().join(name)).unwrap();
        fs::set_permissions(root.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    publish(&Linux::new(Resolution::Openat2), root.path(), &plan()).unwrap();
    let tree = tree(root.path());
    assert_eq!((tree["a"].0, tree["mount"].0), (0o2755, 0o2775));
}
