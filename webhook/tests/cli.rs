//! The commands as a black box: what they write where, and how they end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const PROFILE: &str = r#"
apiVersion: spark-injector.io/v1alpha1
kind: SparkProfile
metadata: {name: team-a}
spec:
  namespaces: {names: [team-a]}
  executorRole: {name: MY_EXECUTOR, value: "true"}
  nodeSelector: {default: {pool: a}}
  common: {template: {spec: {priorityClassName: high, schedulerName: own}}}
"#;

const NAMESPACE: &str = r"
apiVersion: v1
kind: Namespace
metadata: {name: team-a, labels: {spark-injector.io/inject: enabled}}
";

const POD: &str = r#"{
  "apiVersion": "v1", "kind": "Pod",
  "metadata": {"name": "exec-1", "labels": {"spark-role": "executor"}},
  "spec": {
    "schedulerName": "volcano",
    "containers": [{"name": "spark-kubernetes-executor", "image": "spark", "args": ["executor"]}]
  }
}"#;

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("p/profile.yaml", PROFILE);
        folder.write("p/namespace.yaml", NAMESPACE);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs a command line, its words divided by spaces.
    fn run(&self, line: &str, stdin: &str) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_spark-injector"))
            .args(line.split_whitespace())
            .current_dir(self.0.path())
            .env_clear()
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
    fn inject(&self, flags: &str, stdin: &str) -> Ran {
        self.run(&format!("inject --from p --namespace team-a {flags}"), stdin)
    }

    /// What `validate` says about the folder with one more file.
    fn invalid(&self, name: &str, text: &str) -> String {
        self.write(name, text);
        let ran = self.run("validate --from p", "");
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        ran.stderr
    }
}

fn json_of(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn every_command_explains_itself() {
    let folder = Folder::new();
    for command in ["", "inject", "explain", "check", "validate", "secrets", "serve", "crd", "completions"] {
        let ran = folder.run(&format!("{command} --help"), "");
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        assert!(
            ran.stdout.contains("Examples:\n  spark-injector") || ran.stdout.contains("Examples:\n  "),
            "{command}"
        );
    }
    let ran = folder.run("--version", "");
    assert_eq!((ran.code, ran.stdout), (0, format!("spark-injector {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn unusable_arguments_end_with_2() {
    let folder = Folder::new();
    for line in [
        "",
        "nonsense",
        "inject",
        "inject --from p",
        "inject --from p --namespace team-a -o xml",
        "inject --from p --namespace team-a --with-secrets -o patch",
        "inject --from none --namespace team-a",
        "inject --from p --namespace team-a -f none.yaml",
        "inject --from p --namespace unknown",
        "explain --from p --namespace unknown",
        "explain --from p --namespace team-a --pod spark-pi-driver",
        "explain --namespace team-a --kubeconfig none",
        "explain --namespace team-a --pod a --running",
        "check --kubeconfig none",
        "check -o yaml",
        "secrets --from p --namespace unknown",
        "validate",
        "completions tcsh-of-mine",
        "serve --from p --listen nowhere --tls-cert a --tls-key b",
        "serve --from p --listen 127.0.0.1:0 --tls-cert none --tls-key none",
        "serve --from p --listen 127.0.0.1:0 --tls-cert a --tls-key b --drain-max 1s",
        "serve --from p --listen 127.0.0.1:0 --tls-cert a --tls-key b --tls-poll 11s",
    ] {
        let ran = folder.run(line, POD);
        assert_eq!(ran.code, 2, "{line}: {}", ran.stderr);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{line}: {}", ran.stdout);
    }
}

#[test]
fn flags_have_environment_variables() {
    let folder = Folder::new();
    let output = Command::new(env!("CARGO_BIN_EXE_spark-injector"))
        .arg("validate")
        .env("SPARK_INJECTOR_FROM", folder.path("p"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn scripts_and_the_custom_resource_are_printed() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = folder.run(&format!("completions {shell}"), "");
        assert!(ran.code == 0 && ran.stdout.contains("spark-injector"), "{shell}");
    }
    let ran = folder.run("crd", "");
    assert!(ran.code == 0 && ran.stdout.contains("kind: CustomResourceDefinition"), "{}", ran.stdout);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let folder = Folder::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_spark-injector"))
        .arg("crd")
        .current_dir(folder.0.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn a_valid_folder_is_summed_up() {
    let ran = Folder::new().run("validate --from p", "");
    assert_eq!(ran.code, 0);
    assert!(
        ran.stderr.starts_with("warning: --init-image: ") && ran.stderr.contains("digest"),
        "{}",
        ran.stderr
    );
    let ran = Folder::new().run("validate --from p --init-image i@sha256:00", "");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.contains("1 profile, 1 namespace (1 opted in), 2 files"), "{}", ran.stdout);
    assert!(ran.stdout.contains("team-a: team-a"), "{}", ran.stdout);
}

/// What a server would refuse is not valid here, unless somebody says that this server would not.
#[test]
fn secrets_in_the_environment_need_callers_that_prove_who_they_are() {
    let folder = Folder::new();
    let more = "\nspec:\n  delivery: Env\n  files: [{mountPath: /k, secret: {name: k}, roles: [executor]}]";
    folder.write("p/profile.yaml", &PROFILE.replace("\nspec:", more));
    folder.write("p/secret.yaml", "{apiVersion: v1, kind: Secret, metadata: {name: k}, data: {a: Yg==}}");
    for line in ["validate --from p", "inject --from p --namespace team-a"] {
        let ran = folder.run(line, POD);
        let said = "ClientAuthRequired: Env would hand files of a Secret to any caller of the webhook; write Secret, or";
        assert!(ran.code != 0 && ran.stderr.contains(said), "{line}: {} {}", ran.code, ran.stderr);
        assert!(ran.stderr.contains("offline --client-authentication"), "{line}: {}", ran.stderr);
        let ran = folder.run(&format!("{line} --client-authentication"), POD);
        assert_eq!(ran.code, 0, "{line}: {}", ran.stderr);
    }
    let ran = folder.run("explain --from p --namespace team-a", POD);
    assert!(ran.stdout.contains("mistake: ") && ran.stdout.contains("ClientAuthRequired"), "{}", ran.stdout);
    let ran = folder.run("explain --from p --namespace team-a --client-authentication", POD);
    assert!(ran.stdout.contains("injected") && !ran.stdout.contains("ClientAuthRequired"), "{}", ran.stdout);
}

#[test]
fn a_folder_without_profiles_is_no_quiet_success() {
    let folder = Folder::new();
    fs::create_dir(folder.path("empty")).unwrap();
    let ran = folder.run("validate --from empty", "");
    assert!(ran.code == 0 && ran.stderr.contains("there is no SparkProfile in --from"), "{}", ran.stderr);
}

#[test]
fn files_that_cannot_be_parsed_are_all_named() {
    let folder = Folder::new();
    folder.write("p/a.yaml", "a: 1\nb: [\n");
    folder.write("p/b.yaml", "a: 1\na: 2\n");
    let said = folder.invalid("p/c.json", "{\"a\": ");
    assert!(said.contains("p/a.yaml: ") && said.contains("p/c.json: "), "{said}");
    assert!(said.contains("p/b.yaml: ") && said.contains("duplicate") && said.contains("line 2"), "{said}");
}

#[test]
fn objects_that_are_defined_twice_name_both_places() {
    let said = Folder::new().invalid("p/z.yaml", NAMESPACE);
    assert!(
        said.contains("p/namespace.yaml") && said.contains("p/z.yaml: Namespace team-a: defined twice"),
        "{said}"
    );
    assert!(said.ends_with("1 problem\n"), "{said}");
}

#[test]
fn a_directory_stays_inside_the_files_root() {
    let folder = Folder::new();
    let profile =
        PROFILE.replace("\nspec:", "\nspec:\n  files: [{mountPath: /conf, directory: {path: PATH}}]");
    let said = folder.invalid("p/profile.yaml", &profile.replace("PATH", "hadoop"));
    assert!(said.contains("--files-root"), "{said}");
    folder.write("root/hadoop/core-site.xml", "<x/>");
    folder.write("outside", "s3cr3t");
    assert_eq!(folder.run("validate --from p --files-root root", "").code, 0);
    folder.write("p/profile.yaml", &profile.replace("PATH", "../.."));
    let ran = folder.run("validate --from p --files-root root", "");
    assert!(ran.code == 2 && ran.stderr.contains("`../..`"), "{}", ran.stderr);
    folder.write("p/profile.yaml", &profile.replace("PATH", "hadoop"));
    std::os::unix::fs::symlink("../../outside", folder.path("root/hadoop/link")).unwrap();
    let ran = folder.run("validate --from p --files-root root", "");
    assert!(ran.code == 2 && ran.stderr.contains("hadoop/link"), "{}", ran.stderr);
}

#[test]
fn kinds_that_are_not_ours_are_warned_about() {
    let folder = Folder::new();
    folder.write("p/service.yaml", "{apiVersion: v1, kind: Service, metadata: {name: s}}");
    let ran = folder.run("validate --from p", "");
    assert!(ran.code == 0 && ran.stderr.contains("p/service.yaml: Service s: ignored"), "{}", ran.stderr);
}

#[test]
fn a_pod_is_printed_in_every_form() {
    let folder = Folder::new();
    let pod = json_of(&folder.inject("-o json", POD));
    assert_eq!(pod["spec"]["nodeSelector"], json!({"pool": "a"}));
    assert_eq!(pod["spec"]["schedulerName"], "volcano");
    assert_eq!(pod["spec"]["containers"][0]["env"], json!([{"name": "MY_EXECUTOR", "value": "true"}]));
    let ran = folder.inject("", POD);
    assert!(
        ran.stdout.starts_with("apiVersion: v1\nkind: Pod\n") && !ran.stdout.contains("---"),
        "{}",
        ran.stdout
    );
    assert!(ran.stderr.contains("Pod exec-1: injected"), "{}", ran.stderr);
    let again = json_of(&folder.inject("-o patch", &ran.stdout));
    assert_eq!(again, json!([]), "what is injected stays as it is");
    let patch: json_patch::Patch = serde_json::from_value(json_of(&folder.inject("-o patch", POD))).unwrap();
    let mut patched: Value = serde_json::from_str(POD).unwrap();
    json_patch::patch(&mut patched, &patch).unwrap();
    assert_eq!(patched, pod);
    let ran = folder.inject("-o diff", POD);
    assert!(ran.stdout.contains("\n+  nodeSelector:\n+    pool: a\n"), "{}", ran.stdout);
}

#[test]
fn the_input_may_be_a_file_a_list_or_a_stream() {
    let folder = Folder::new();
    folder.write("pod.json", POD);
    assert_eq!(json_of(&folder.inject("-f pod.json -o json", ""))["kind"], "Pod");
    let list = format!(
        r#"{{"apiVersion": "v1", "kind": "List", "items": [{POD}, {{"apiVersion": "v1", "kind": "Service"}}]}}"#
    );
    let done = json_of(&folder.inject("-o json", &list));
    assert_eq!((&done["kind"], done["items"].as_array().unwrap().len()), (&json!("List"), 2));
    assert_eq!(done["items"][0]["spec"]["nodeSelector"]["pool"], "a");
    let patch = json_of(&folder.inject("-o patch", &list));
    assert!(patch[0]["path"].as_str().unwrap().starts_with("/items/0/"), "{patch}");
    let stream = format!("{POD}\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: s}}\n");
    let ran = folder.inject("", &stream);
    assert_eq!((ran.code, ran.stdout.matches("\n---\n").count()), (0, 1), "{}", ran.stderr);
    assert!(ran.stderr.contains("Service s: passed through"), "{}", ran.stderr);
    let done = json_of(&folder.inject("-o json", &stream));
    assert_eq!((&done["kind"], &done["items"][1]["kind"]), (&json!("List"), &json!("Service")));
    assert_eq!(folder.inject("-o patch", &stream).stdout.lines().nth(1), Some("[]"));
}

#[test]
fn workloads_are_patched_in_their_template() {
    let pod: Value = serde_json::from_str(POD).unwrap();
    let template = json!({"metadata": {"labels": pod["metadata"]["labels"]}, "spec": pod["spec"]});
    for kind in ["StatefulSet", "Deployment", "ReplicaSet"] {
        let workload = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "w"}, "spec": {"template": template}});
        let done = json_of(&Folder::new().inject("-o json", &workload.to_string()));
        assert_eq!(done["spec"]["template"]["spec"]["nodeSelector"]["pool"], "a", "{kind}");
        assert_eq!(done["metadata"], json!({"name": "w"}));
    }
}

fn review(pod: &Value) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
            "resource": {"group": "", "version": "v1", "resource": "pods"}, "namespace": "team-a", "object": pod,
        },
    })
    .to_string()
}

#[test]
fn a_review_is_answered_also_when_it_is_denied() {
    let folder = Folder::new();
    let mut pod: Value = serde_json::from_str(POD).unwrap();
    let answer = json_of(&folder.inject("-o json", &review(&pod)));
    assert_eq!((&answer["response"]["uid"], &answer["response"]["allowed"]), (&json!("u-1"), &json!(true)));
    assert!(!json_of(&folder.inject("-o patch", &review(&pod))).as_array().unwrap().is_empty());
    pod["spec"]["nodeSelector"] = json!({"pool": "b"});
    let ran = folder.inject("-o json", &review(&pod));
    assert_eq!(json_of(&ran)["response"]["allowed"], false);
    assert!(ran.stderr.contains("denied"), "{}", ran.stderr);
}

#[test]
fn a_denied_pod_leaves_the_standard_output_empty() {
    let folder = Folder::new();
    let denied = POD.replace("\"schedulerName\"", "\"nodeSelector\": {\"pool\": \"b\"}, \"schedulerName\"");
    let ran = folder.inject("", &format!("{POD}\n{denied}"));
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("pod node label selector conflicts with its namespace node label selector"),
        "{}",
        ran.stderr
    );
    let ran = folder.run("explain --from p --namespace team-a", &denied);
    assert!(ran.code == 0 && ran.stdout.contains("denied: "), "{}", ran.stdout);
}

#[test]
fn a_bad_profile_denies_its_own_pods_and_warns_others() {
    let folder = Folder::new();
    let bad = PROFILE.replace("team-a", "team-b").replace("schedulerName", "schedulerNam");
    folder.write("p/b.yaml", &format!("{bad}---{}", NAMESPACE.replace("team-a", "team-b")));
    let ran = folder.inject("", POD);
    assert!(ran.code == 0 && ran.stderr.contains("warning: p/b.yaml#1"), "{}", ran.stderr);
    let ran = folder.run("inject --from p --namespace team-b", POD);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("schedulerNam"), "{}", ran.stderr);
}

#[test]
fn input_that_is_not_meant_ends_with_2() {
    let folder = Folder::new();
    let elsewhere = POD.replace("\"name\": \"exec-1\"", "\"name\": \"exec-1\", \"namespace\": \"team-b\"");
    for (stdin, message) in [
        ("", "standard input: holds no object; give one with -f FILE, or pipe it in"),
        ("just text", "not a Kubernetes object"),
        ("{\"kind\": ", "standard input: "),
        ("a: [", "standard input: "),
        (elsewhere.as_str(), "metadata.namespace is `team-b`, but --namespace is `team-a`"),
        (r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}"#, "request.namespace"),
    ] {
        let ran = folder.inject("", stdin);
        assert!(ran.code == 2 && ran.stdout.is_empty(), "{stdin}: {}", ran.stdout);
        assert!(ran.stderr.contains(message), "{stdin}: {}", ran.stderr);
    }
}

#[test]
fn secrets_come_alone_and_with_the_pods_that_need_them() {
    let folder = Folder::new();
    let files = "spec:\n  delivery: Secret\n  files: [{mountPath: /conf, inline: {a.conf: x}}]";
    folder
        .write("p/profile.yaml", &PROFILE.replace("spec:\n  namespaces", &format!("{files}\n  namespaces")));
    let secrets = json_of(&folder.run("secrets --from p -o json", ""));
    let secret = &secrets["items"][0];
    assert_eq!((&secret["kind"], &secret["metadata"]["namespace"]), (&json!("Secret"), &json!("team-a")));
    let ran = folder.run("secrets --from p --namespace team-a", "");
    assert!(ran.stdout.starts_with("apiVersion: v1\nkind: Secret\n"), "{}", ran.stdout);
    let list = json_of(&folder.inject("-o json --with-secrets", POD));
    assert_eq!((&list["items"][0], &list["items"][1]["kind"]), (secret, &json!("Pod")));
    let ran = folder.inject("--with-secrets", POD);
    assert!(
        ran.stdout.starts_with("apiVersion: v1\nkind: Secret\n")
            && ran.stdout.contains("\n---\napiVersion: v1\nkind: Pod\n")
    );
    assert!(!folder.inject("", POD).stdout.contains("kind: Secret"));
}

#[test]
fn explain_says_what_why_and_what_stays() {
    let folder = Folder::new();
    let ran = folder.run("explain --from p --namespace team-a", POD);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    for part in [
        "Namespace team-a: served by profile team-a",
        "Pod exec-1: injected (executor, profile team-a",
        "Added:",
        "MY_EXECUTOR",
        "spec.executorRole",
        "Kept: the user's own value stays:",
        "spec.common.template.spec.schedulerName",
    ] {
        assert!(ran.stdout.contains(part), "{part} is not in\n{}", ran.stdout);
    }
    let other = POD.replace("\"executor\"}", "\"history\"}");
    let ran = folder.run("explain --from p --namespace team-a", &other);
    assert!(ran.stdout.contains("left alone: the pod is no Spark driver or executor"), "{}", ran.stdout);
    let facts = json_of(&folder.run("explain --from p --namespace team-a -o json", POD));
    assert_eq!(facts["objects"][0]["outcome"], "injected");
    let notes = facts["objects"][0]["notes"].as_array().unwrap();
    assert!(notes.iter().any(|note| note["action"] == "kept"), "{facts}");
}

#[test]
fn isolated_namespaces_are_judged_by_both_entries() {
    let folder = Folder::new();
    folder.write(
        "p/isolated.yaml",
        "{apiVersion: v1, kind: Namespace, metadata: {name: iso, labels: {spark-injector.io/isolate: enabled}}}\n---\n\
         {apiVersion: spark-injector.io/v1alpha1, kind: SparkProfile, metadata: {name: iso}, spec: {namespaces: {names: [iso]}, \
         nodeSelector: {scope: AllPods, default: {pool: iso}}}}\n",
    );
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: i}]}}";
    let injected = json_of(&folder.run("inject --from p --namespace iso -o json", pod));
    assert_eq!(injected["spec"]["nodeSelector"]["pool"], "iso");
    let ran = folder.run("explain --from p --namespace iso", pod);
    assert!(ran.stdout.contains("isolated: held to the nodes of its namespace"), "{}", ran.stdout);
    let pinned = pod.replace("containers:", "nodeName: n1, containers:");
    let ran = folder.run("inject --from p --namespace iso", &pinned);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("the pod sets nodeName n1"), "{}", ran.stderr);
}
