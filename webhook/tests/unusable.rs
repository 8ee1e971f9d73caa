//! What the commands say about input, flags, outputs and clusters that are of no use: what, where, what is allowed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        fs::create_dir_all(self.0.path().join("p")).unwrap();
        fs::write(self.0.path().join(name), text).unwrap();
        self
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spark-injector"));
        command.args(line.split_whitespace()).current_dir(self.0.path()).env_clear().stdin(Stdio::null());
        command
    }

    /// Exit status, standard output, standard error.
    fn run(&self, line: &str) -> (i32, String, String) {
        let output = self.command(line).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// What `validate` says of the folder `p`.
    fn valid(&self) -> String {
        let (code, _, said) = self.run("validate --from p --init-image i@sha256:00");
        assert_eq!(code, 0, "{said}");
        said
    }

    fn invalid(&self) -> String {
        let (code, out, said) = self.run("validate --from p --init-image i@sha256:00");
        assert_eq!((code, out.as_str()), (2, ""), "{said}");
        said
    }
}

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team-a, labels: {spark-injector.io/inject: enabled}}\n";

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    for line in ["crd", "--help", "completions bash"] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = folder.command(line).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        assert!(said.starts_with("error: the standard output cannot be written: No space left"), "{said}");
    }
}

#[test]
fn flags_that_would_break_every_pod_are_refused_at_start() {
    let folder = Folder::new().with("p/n.yaml", NAMESPACE);
    for (flag, wanted) in [
        ("--init-cpu=banana", "such as 100m"),
        ("--init-memory=0", "a quantity above 0"),
        ("--init-image=", "name of an image"),
        ("--own-namespace=A_B", "at most 63 lower-case letters"),
        ("--source-namespace=a,B", "at most 63 lower-case letters"),
    ] {
        let (code, out, said) = folder.run(&format!("validate --from p {flag}"));
        assert_eq!((code, out.as_str()), (2, ""), "{flag}: {said}");
        assert!(said.contains(flag.split('=').next().unwrap()) && said.contains(wanted), "{flag}: {said}");
    }
}

#[test]
fn files_of_other_editors_are_read() {
    let crlf = NAMESPACE.replace('\n', "\r\n");
    let json = "\u{feff}{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"b\"}}";
    let folder = Folder::new().with("p/a.yaml", format!("\u{feff}{crlf}")).with("p/b.json", json);
    let (code, out, said) = folder.run("validate --from p");
    assert!(code == 0 && out.contains("2 namespaces (1 opted in), 2 files"), "{out}{said}");
}

#[test]
fn a_mistake_in_yaml_is_told_to_its_author() {
    let said = Folder::new().with("p/a.yaml", format!("{NAMESPACE}kind: Secret\n")).invalid();
    assert!(said.contains("p/a.yaml: duplicate mapping key: kind") && said.contains("line 4"), "{said}");
    assert!(!said.contains("Options"), "{said}");
}

#[test]
fn what_nobody_would_look_for_is_warned_about() {
    let said = Folder::new().with("p/profile.txt", NAMESPACE).valid();
    assert!(said.contains("there is no file in --from whose name ends in .yaml, .yml or .json"), "{said}");
    let said = Folder::new().with("p/n.yaml", NAMESPACE).valid();
    assert!(said.contains("namespace team-a opted in, but no profile claims it"), "{said}");
    let said = Folder::new().with("p/n.yaml", NAMESPACE.replace("enabled", "Enabled")).valid();
    assert!(
        said.contains("p/n.yaml: Namespace team-a: metadata.labels[spark-injector.io/inject]: \"Enabled\""),
        "{said}"
    );
    let profile = "{apiVersion: spark-injector.io/v1alpha1, kind: SparkProfile, metadata: {name: a}, spec: {namespaces: \
        {names: [team-a]}, nodeSelector: {default: {pool: x}, allowed: {pool: [y]}}}}";
    let said = Folder::new().with("p/n.yaml", NAMESPACE).with("p/p.yaml", profile).valid();
    let template = "executor: {template: {spec: {nodeSelector: {pool: z}}}}, nodeSelector:";
    let other = profile.replace("nodeSelector:", template).replace("pool: x", "pool: y");
    let refused = Folder::new().with("p/n.yaml", NAMESPACE).with("p/p.yaml", other).valid();
    let at = "SparkProfile a: spec.executor.template.spec.nodeSelector.pool: pool=z is not in";
    assert!(refused.contains(at) && refused.contains("every executor is refused"), "{refused}");
    assert_eq!(refused.lines().count(), 1, "{refused}");
    assert!(
        said.contains("p/p.yaml: SparkProfile a: spec.nodeSelector.default.pool: pool=x is not in"),
        "{said}"
    );
}

fn kubeconfig(server: &str) -> String {
    format!(
        "{{current-context: c, contexts: [{{name: c, context: {{cluster: k, user: u}}}}],
         clusters: [{{name: k, cluster: {{server: '{server}'}}}}], users: [{{name: u, user: {{token: s3cr3t}}}}]}}"
    )
}

const ASKING: [&str; 3] =
    ["check", "explain --namespace team-a --running", "serve --listen 127.0.0.1:0 --admin 127.0.0.1:0"];

#[test]
fn a_kubeconfig_without_a_url_is_unusable() {
    let folder = Folder::new().with("p/kube", kubeconfig("nonsense"));
    for line in ASKING {
        let (code, out, said) = folder.run(&format!("{line} --kubeconfig p/kube"));
        assert_eq!((code, out.as_str()), (2, ""), "{line}: {said}");
        assert!(said.starts_with("error: kubeconfig p/kube: the server nonsense is no URL"), "{said}");
        assert!(!said.contains("panicked") && !said.contains("s3cr3t"), "{said}");
    }
}

#[test]
fn an_api_server_that_cannot_be_reached_is_named() {
    // Bound and never listened on by the time anybody asks.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("https://{gone}");
    let folder = Folder::new().with("p/kube", kubeconfig(&server));
    let (code, out, said) = folder.run("check --kubeconfig p/kube");
    assert!(code == 3 && out.contains(&format!("{server}: ")), "{out}{said}");
    assert!(out.contains("0 passed, 1 failed") && !out.contains("ServiceError"), "{out}");
    let (code, out, said) = folder.run("explain --namespace team-a --running --kubeconfig p/kube");
    assert_eq!((code, out.as_str()), (2, ""), "{said}");
    assert!(said.contains(&format!("SparkProfiles cannot be read: {server}: ")), "{said}");
    assert!(
        said.contains("see --kubeconfig and --context, or use --from") && !said.contains("right"),
        "{said}"
    );
}

#[test]
fn outside_of_a_cluster_files_are_the_other_way() {
    let folder = Folder::new();
    for line in ASKING {
        let output = folder.command(line).env("HOME", folder.0.path()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        assert!(said.contains("kubeconfig ~/.kube/config: cannot read"), "{said}");
        assert_eq!(said.contains("--from"), line != "check", "{said}");
    }
}

#[test]
fn secrets_that_are_missing_are_told_by_the_status() {
    let profile = |name: &str, more: &str| {
        format!(
            "---\n{{apiVersion: spark-injector.io/v1alpha1, kind: SparkProfile, metadata: {{name: {name}}}, spec: {{namespaces: \
             {{names: [{name}]}}, delivery: Secret, files: [{{mountPath: /c, inline: {{f: x}}}}{more}]}}}}\n"
        )
    };
    let namespaces = format!("{NAMESPACE}---\n{}", NAMESPACE.replace("team-a", "team-b"));
    let broken = profile("team-b", ", {mountPath: /k, secret: {name: none}}");
    let folder = Folder::new().with("p/a.yaml", format!("{namespaces}{}{broken}", profile("team-a", "")));
    let (code, out, said) = folder.run("secrets --from p");
    assert_eq!(code, 2, "{said}");
    assert!(out.contains("namespace: team-a") && !out.contains("namespace: team-b"), "{out}");
    assert!(said.contains("SparkProfile team-b: spec.files[1].secret.name"), "{said}");
    assert_eq!(folder.run("secrets --from p --namespace team-a").0, 0);
    assert_eq!(folder.run("secrets --from p --namespace team-b").0, 2);
}

#[test]
fn a_document_of_a_stream_is_told_by_its_number() {
    let stream = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n---\n- not an object\n";
    let folder = Folder::new().with("p/n.yaml", NAMESPACE).with("pods.yaml", stream);
    for command in ["inject", "explain"] {
        let (code, out, said) = folder.run(&format!("{command} --from p --namespace team-a -f pods.yaml"));
        assert_eq!((code, out.as_str()), (2, ""), "{said}");
        assert!(said.contains("error: document 2: input: not a Kubernetes object"), "{said}");
    }
}
