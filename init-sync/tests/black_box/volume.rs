//! Volumes and users as in a pod: numeric users without privileges, a read-only root, full, read-only and
//! forbidden volumes, and what others planted there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use init_sync::Exit;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use tempfile::TempDir;

use crate::harness::{BINARY, Delivery, Finished, is_root, noise, run_command, skipped, tree};

/// Names that a shell hands on, too.
fn delivery() -> Delivery {
    Delivery::default().with("a", 0o444, b"content of a").with("1/2/keytab", 0o440, b"\x05\x02\x00")
}

/// A directory that any user reaches, with a copy of the binary in it: the build directory may be root's own.
struct World {
    directory: TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(BINARY, directory.path().join("init-sync")).unwrap();
        fs::create_dir(directory.path().join("volume")).unwrap();
        Self { directory }
    }

    fn binary(&self) -> PathBuf {
        self.directory.path().join("init-sync")
    }

    fn volume(&self) -> PathBuf {
        self.directory.path().join("volume")
    }

    /// A volume that belongs to root and a group, as kubelet makes it for an fsGroup.
    fn give_volume_to(&self, group: u32, mode: u32) {
        chown(self.volume(), Some(0), Some(group)).unwrap();
        fs::set_permissions(self.volume(), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn run_as(&self, user: &User, environment: &BTreeMap<String, String>) -> Finished {
        let mut command = user.command();
        command.arg(self.binary()).arg("--to").arg(self.volume());
        run_command(command, environment)
    }
}

struct User {
    id: u32,
    group: u32,
    supplementary: Option<u32>,
}

impl User {
    /// Whatever follows runs as this user, without any privilege, as in a `restricted` pod.
    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={}", self.id)).arg(format!("--regid={}", self.group));
        match self.supplementary {
            Some(group) => command.arg(format!("--groups={group}")),
            None => command.arg("--clear-groups"),
        };
        command.args(["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]);
        command
    }

    fn can_read(&self, path: &Path) -> bool {
        self.command().arg("cat").arg(path).output().unwrap().status.success()
    }
}

const SPARK: User = User { id: 185, group: 185, supplementary: Some(2000) };
const OPENSHIFT: User = User { id: 1_000_660_000, group: 0, supplementary: None };
const STRANGER: User = User { id: 4711, group: 4711, supplementary: None };

/// Whether users can be changed; says so if not.
fn can_change_users() -> bool {
    let can = is_root() && STRANGER.command().arg("true").status().is_ok_and(|status| status.success());
    if !can {
        skipped("not root, or no setpriv: not run as other users");
    }
    can
}

/// Runs a shell script in a mount namespace of its own; `$1` is a directory to mount on, `$2` the binary.
fn in_namespace(world: &World, script: &str, environment: &BTreeMap<String, String>) -> Option<Finished> {
    for flags in [&["--mount"][..], &["--user", "--map-root-user", "--mount"]] {
        let unshared = |script: &str| {
            let mut command = Command::new("unshare");
            command.args(flags).args(["sh", "-ec", script, "sh"]).arg(world.volume()).arg(world.binary());
            command
        };
        let probe = unshared("mount -t tmpfs none \"$1\"").output();
        if probe.is_ok_and(|probe| probe.status.success()) {
            return Some(run_command(unshared(script), environment));
        }
    }
    skipped("no mount namespace: not run on volumes of that kind");
    None
}

#[test]
fn runs_as_the_users_of_pods_and_the_group_can_read() {
    if !can_change_users() {
        return;
    }
    for (user, group) in [(SPARK, 2000), (OPENSHIFT, 0)] {
        let world = World::new();
        world.give_volume_to(group, 0o2775);
        for _ in 0..2 {
            world.run_as(&user, &delivery().environment()).assert_done();
        }
        let keytab = world.volume().join("1/2/keytab");
        let status = fs::metadata(&keytab).unwrap();
        assert_eq!((status.uid(), status.gid(), status.mode() & 0o7777), (user.id, group, 0o440));
        let reader = User { id: 12345, group, supplementary: None };
        assert!(reader.can_read(&keytab), "group {group}");
        assert!(!STRANGER.can_read(&keytab), "group {group}");
        assert!(STRANGER.can_read(&world.volume().join("a")));
    }
}

#[test]
fn files_of_another_user_are_kept_if_equal_and_replaced_if_not() {
    if !can_change_users() {
        return;
    }
    let world = World::new();
    world.give_volume_to(0, 0o777);
    delivery().run(&world.volume()).assert_done();
    // Root's keytab is not readable for this user: it is replaced, which the directory must allow.
    fs::set_permissions(world.volume().join("1/2"), fs::Permissions::from_mode(0o777)).unwrap();
    world.run_as(&STRANGER, &delivery().environment()).assert_done();
    let owner = |path| fs::metadata(world.volume().join(path)).unwrap().uid();
    assert_eq!((owner("a"), owner("1/2/keytab")), (0, STRANGER.id));
}

#[test]
fn a_forbidden_directory_has_its_own_code() {
    let world = World::new();
    let environment = delivery().environment();
    let mode = |mode| fs::set_permissions(world.volume(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o555);
    let finished = if is_root() {
        if !can_change_users() {
            return;
        }
        world.run_as(&STRANGER, &environment)
    } else {
        delivery().run(&world.volume())
    };
    finished.assert_failed(Exit::PermissionDenied, "a: cannot create its temporary file: Permission denied");
    assert!(tree(&world.volume()).is_empty());
    mode(0o755);
}

#[test]
fn the_umask_does_not_matter() {
    let world = World::new();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$1\" --to \"$2\"", "sh"]).arg(world.binary()).arg(world.volume());
    run_command(command, &delivery().environment()).assert_done();
    delivery().assert_in(&world.volume());
}

#[test]
fn a_read_only_root_is_enough() {
    let world = World::new();
    let setpriv = "setpriv --reuid=185 --regid=0 --clear-groups --no-new-privs --bounding-set=-all";
    let user = if can_change_users() { setpriv } else { "" };
    let script = format!(
        "mount -t tmpfs -o mode=1777 none \"$1\"; mount -o remount,bind,ro /; ! touch /written 2>/dev/null; \
         {user} \"$2\" --to \"$1\"; cd \"$1\"; cat a 1/2/keytab; find . -type f | sort"
    );
    let Some(finished) = in_namespace(&world, &script, &delivery().environment()) else {
        return;
    };
    finished.assert_done();
    assert!(finished.stdout.starts_with("init-sync: 2 files, 15 bytes, manifest "), "{finished:?}");
    assert!(finished.stdout.ends_with("content of a\u{5}\u{2}\0./1/2/keytab\n./a\n"), "{finished:?}");
}

#[test]
fn a_full_volume_is_left_empty() {
    let world = World::new();
    let delivery = (0..20).fold(Delivery::default(), |delivery, index| {
        delivery.with(&format!("d/f{index}"), 0o444, &noise(5_000))
    });
    let script = "mount -t tmpfs -o size=64k none \"$1\"; code=0; \"$2\" --to \"$1\" || code=$?; ls -AR \"$1\" >&2; \
                  exit $code";
    let Some(finished) = in_namespace(&world, script, &delivery.environment()) else {
        return;
    };
    assert_eq!(finished.code, Some(i32::from(Exit::NoSpace.code())), "{finished:?}");
    let (line, listing) = finished.stderr.split_once('\n').unwrap();
    assert!(line.starts_with("init-sync: d/f") && line.contains("No space left on device"), "{line}");
    assert_eq!(listing, format!("{}:\n", world.volume().display()));
}

#[test]
fn a_read_only_volume_has_its_own_code() {
    let world = World::new();
    let script = "mount -t tmpfs -o ro none \"$1\"; exec \"$2\" --to \"$1\"";
    if let Some(finished) = in_namespace(&world, script, &delivery().environment()) {
        finished.assert_failed(Exit::ReadOnly, "a: cannot create its temporary file: Read-only file system");
    }
}

#[test]
fn a_re_run_on_a_volume_that_became_read_only_is_fine() {
    let world = World::new();
    let script = "mount -t tmpfs none \"$1\"; \"$2\" -q --to \"$1\"; mount -o remount,ro \"$1\"; exec \"$2\" -q --to \"$1\"";
    if let Some(finished) = in_namespace(&world, script, &delivery().environment()) {
        finished.assert_done();
    }
}

/// Puts something at a path.
type Plant<'a> = &'a dyn Fn(&Path);

#[test]
fn what_was_planted_is_refused_and_nothing_is_written_outside() {
    let outside = tempfile::tempdir().unwrap();
    let node = |path: &Path, kind, device| mknodat(CWD, path, kind, Mode::from_raw_mode(0o666), device);
    let cases: [(&str, Plant, &str); 8] = [
        ("a", &|path| symlink(outside.path().join("new"), path).unwrap(), "a symbolic link"),
        ("a", &|path| symlink("/proc/self/fd/1", path).unwrap(), "a symbolic link"),
        ("a", &|path| fs::create_dir(path).unwrap(), "a directory"),
        ("a", &|path| node(path, FileType::Fifo, 0).unwrap(), "a FIFO"),
        ("1", &|path| symlink(outside.path(), path).unwrap(), "cannot open the directory"),
        ("1", &|path| symlink("/proc/self/cwd", path).unwrap(), "cannot open the directory"),
        ("1", &|path| fs::write(path, "").unwrap(), "cannot open the directory"),
        (
            "a",
            &|path| {
                if node(path, FileType::CharacterDevice, makedev(1, 3)).is_err() {
                    skipped("no device can be made: a directory stands for it");
                    fs::create_dir(path).unwrap();
                }
            },
            "a d",
        ),
    ];
    for (name, plant, about) in cases {
        let root = tempfile::tempdir().unwrap();
        plant(&root.path().join(name));
        delivery().run(root.path()).assert_failed(Exit::Occupied, about);
        assert_eq!(tree(root.path()).into_keys().collect::<Vec<_>>(), [name], "{about}");
        assert!(tree(outside.path()).is_empty(), "{about}");
    }
}
