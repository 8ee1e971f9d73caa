//! A folder with a profile and a namespace, and command lines that run in it.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_spark-injector");

pub(crate) const PROFILE: &str = r#"
apiVersion: spark-injector.io/v1alpha1
kind: SparkProfile
metadata: {name: team-a}
spec:
  namespaces: {names: [team-a]}
  executorRole: {name: MY_EXECUTOR, value: "true"}
  nodeSelector: {default: {pool: a}}
  common: {template: {spec: {priorityClassName: high, schedulerName: own}}}
"#;

pub(crate) const NAMESPACE: &str = r"
apiVersion: v1
kind: Namespace
metadata: {name: team-a, labels: {spark-injector.io/inject: enabled}}
";

/// An executor as Spark makes it, with a scheduler of its user's own.
pub(crate) const POD: &str = r#"{
  "apiVersion": "v1", "kind": "Pod",
  "metadata": {"name": "exec-1", "labels": {"spark-role": "executor"}},
  "spec": {
    "schedulerName": "volcano",
    "containers": [{"name": "spark-kubernetes-executor", "image": "spark", "args": ["executor"]}]
  }
}"#;

/// How a command ended, and what it wrote.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What command lines run in.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// Holds `p`, with [`PROFILE`] and [`NAMESPACE`].
    pub(crate) fn new() -> Self {
        Self::empty().with("p/profile.yaml", PROFILE).with("p/namespace.yaml", NAMESPACE)
    }

    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn with(self, name: &str, text: impl AsRef<str>) -> Self {
        self.write(name, text.as_ref());
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A command line, its words divided by spaces.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(line.split_whitespace()).current_dir(self.0.path()).env_clear();
        command
    }

    /// Runs a command line.
    pub(crate) fn run(&self, line: &str, stdin: &str) -> Ran {
        let mut child = self
            .command(line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that refuses its arguments never reads.
        drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Injects into the namespace of the profile.
    pub(crate) fn inject(&self, flags: &str, stdin: &str) -> Ran {
        self.run(&format!("inject --from p --namespace team-a {flags}"), stdin)
    }

    /// What `validate` says about the folder with one more file.
    pub(crate) fn invalid(&self, name: &str, text: &str) -> String {
        self.write(name, text);
        let ran = self.run("validate --from p", "");
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        ran.stderr
    }
}

/// What a command that succeeded wrote.
pub(crate) fn json_of(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}
