//! Whether this machine can be a node, and the way into the namespaces where it is one. What is started there ends with
//! the command, also when this process is killed; what is left then (control groups, files) is removed by others.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::janitor::Janitor;
use crate::pki;
use crate::places;
use crate::process::Process;
use crate::scratch::Scratch;

/// The node's address, in a network of its own.
pub const ADDRESS: &str = "10.200.0.1";

/// What has to be there beside what is built.
const COMMANDS: [(&str, &str); 7] = [
    ("unshare", "util-linux"),
    ("mount", "util-linux"),
    ("ip", "iproute2"),
    ("sysctl", "procps"),
    ("bash", "bash"),
    ("apt-get", "apt: runc and others come as packages of Debian or Ubuntu"),
    ("cc", "gcc"),
];

/// Hierarchies of control groups without which containerd or the kubelet does not start.
const HIERARCHIES: [&str; 5] = ["cpu", "cpuset", "memory", "pids", "devices"];

/// Removes control groups, the innermost first, once nobody says a word any more: processes that end at the same moment
/// are still in them for a while.
const JANITOR: &str = r#"
read -r word
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  left=
  for group in "$@"; do
    [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || left=yes
  done
  [ -n "$left" ] || exit 0
  sleep 0.5
done
exit 1
"#;

/// Why this machine cannot be a node, with what to do about it; nothing when it can.
pub fn obstacles() -> Vec<String> {
    let mut found = Vec::new();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if effective_user(&status) != Some("0") {
        found.push("it needs root (mounts, networks, containers): run it as root".to_owned());
    }
    for (command, package) in COMMANDS {
        if !in_path(command) {
            found.push(format!("there is no `{command}`: install {package}"));
        }
    }
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let missing: Vec<_> = HIERARCHIES.iter().filter(|name| hierarchy(&groups, name).is_none()).collect();
    if !missing.is_empty() {
        found.push(format!(
            "the control groups {missing:?} of version 1 are not there, and those of version 2 are not supported here: \
             boot with systemd.unified_cgroup_hierarchy=0, or use another machine"
        ));
    }
    if found.is_empty() {
        // The whole way, with nothing at its end.
        let probe = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--cgroup", "--ipc", "--uts", "--fork", "--mount-proc"])
            .args(["ip", "link", "add", "node0", "type", "veth", "peer", "name", "node1"])
            .output();
        match probe {
            Ok(output) if output.status.success() => {}
            Ok(output) => found.push(format!(
                "namespaces or networks cannot be made, though this is root: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )),
            Err(error) => found.push(format!("unshare: {error}")),
        }
    }
    found
}

/// Runs a command where this machine is a node, until it ends.
///
/// # Panics
/// When the control groups cannot be made.
pub fn enter(command: &Path, args: &[String]) -> ExitStatus {
    let scratch = Scratch::new("node");
    let groups = Groups::new();
    let lines: Vec<_> = groups.paths.iter().map(|path| path.display().to_string()).collect();
    let list = pki::write(scratch.path(), "groups", &(lines.join("\n") + "\n"));
    let mut entered = Command::new(places::repository().join("tests/node/enter.sh"));
    entered.arg(scratch.path()).arg(ADDRESS).arg(list).arg(command).args(args);
    // Whatever the harness makes in there is gone with this directory: its own janitors end with the namespace.
    entered.env("TMPDIR", scratch.path());
    let mut process = Process::spawn("enter.sh", &entered, Stdio::inherit(), Stdio::inherit());
    loop {
        if let Some(status) = process.wait(std::time::Duration::from_secs(3600)) {
            return status;
        }
    }
}

/// A control group of our own in each hierarchy, below the one that this process is in.
#[derive(Debug)]
struct Groups {
    paths: Vec<PathBuf>,
    janitor: Janitor,
}

impl Groups {
    fn new() -> Self {
        let groups = std::fs::read_to_string("/proc/self/cgroup").expect("/proc/self/cgroup");
        let name = format!("spark-injector-node-{}", std::process::id());
        let paths: Vec<PathBuf> = groups
            .lines()
            .filter_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let (controllers, path) = (parts.next()?, parts.next()?);
                let folder = controllers.strip_prefix("name=").unwrap_or(controllers);
                let root = Path::new("/sys/fs/cgroup").join(folder).join(path.trim_start_matches('/'));
                (!folder.is_empty()).then(|| root.join(&name))
            })
            .collect();
        let janitor = Janitor::new(JANITOR, &paths);
        let made = Self { paths, janitor };
        for path in &made.paths {
            std::fs::create_dir(path)
                .unwrap_or_else(|error| panic!("cannot make the control group {}: {error}", path.display()));
            // A new group of this hierarchy has neither, and takes no process.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let from = path.parent().map(|parent| parent.join(file)).filter(|file| file.is_file());
                if let Some(value) = from.and_then(|file| std::fs::read(file).ok()) {
                    std::fs::write(path.join(file), value).unwrap_or_else(|error| panic!("{file}: {error}"));
                }
            }
        }
        made
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        if !self.janitor.dismiss() {
            eprintln!("control groups are left behind: {:?}", self.paths);
        }
    }
}

/// The second of the four user ids: what counts for rights.
fn effective_user(status: &str) -> Option<&str> {
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().nth(1)
}

fn hierarchy<'g>(groups: &'g str, name: &str) -> Option<&'g str> {
    groups.lines().find(|line| {
        line.split(':').nth(1).is_some_and(|controllers| controllers.split(',').any(|one| one == name))
    })
}

fn in_path(command: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", command]).output();
    found.is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::{effective_user, hierarchy};

    #[test]
    fn the_effective_user_is_the_second_one() {
        assert_eq!(effective_user("Name:\tx\nUid:\t1000\t0\t1\t2\nGid:\t5\t5\t5\t5\n"), Some("0"));
        assert_eq!(effective_user("Name:\tx\n"), None);
    }

    #[test]
    fn a_hierarchy_may_have_several_controllers() {
        let groups = "4:memory:/a\n3:cpu,cpuacct:/b\n1:name=systemd:/c\n0::/d\n";
        assert_eq!(hierarchy(groups, "cpu"), Some("3:cpu,cpuacct:/b"));
        assert_eq!(hierarchy(groups, "cpuset"), None);
    }
}
