//! What the commands say about input, flags, outputs and clusters that are of no use: what, where, what is allowed.

use std::fs;
use std::net::TcpListener;

use super::folder::{Folder, NAMESPACE, Ran};

/// Exit status, standard output, standard error.
fn run(folder: &Folder, line: &str) -> (i32, String, String) {
    let Ran { code, stdout, stderr } = folder.run(line, "");
    (code, stdout, stderr)
}

/// What `validate` says of the folder `p`, which is valid.
fn warned(folder: &Folder) -> String {
    let (code, _, said) = run(folder, "validate --from p --init-image i@sha256:00");
    assert_eq!(code, 0, "{said}");
    said
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let folder = Folder::empty();
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
    let folder = Folder::empty().with("p/n.yaml", NAMESPACE);
    for (flag, wanted) in [
        ("--init-cpu=banana", "such as 100m"),
        ("--init-memory=0", "a quantity above 0"),
        ("--init-image=", "name of an image"),
        ("--own-namespace=A_B", "at most 63 lower-case letters"),
        ("--source-namespace=a,B", "at most 63 lower-case letters"),
    ] {
        let (code, out, said) = run(&folder, &format!("validate --from p {flag}"));
        assert_eq!((code, out.as_str()), (2, ""), "{flag}: {said}");
        assert!(said.contains(flag.split('=').next().unwrap()) && said.contains(wanted), "{flag}: {said}");
    }
}

#[test]
fn files_of_other_editors_are_read() {
    let crlf = NAMESPACE.trim_start().replace('\n', "\r\n");
    let json = "\u{feff}{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"b\"}}";
    let folder = Folder::empty().with("p/a.yaml", format!("\u{feff}{crlf}")).with("p/b.json", json);
    let (code, out, said) = run(&folder, "validate --from p");
    assert!(code == 0 && out.contains("2 namespaces (1 opted in), 2 files"), "{out}{said}");
}

#[test]
fn a_mistake_in_yaml_is_told_to_its_author() {
    let twice = format!("{}kind: Secret\n", NAMESPACE.trim_start());
    let said = Folder::empty().invalid("p/a.yaml", &twice);
    assert!(said.contains("p/a.yaml: duplicate key `kind`") && said.contains("line 4"), "{said}");
    assert!(!said.contains("Options"), "{said}");
}

#[test]
fn what_nobody_would_look_for_is_warned_about() {
    let said = warned(&Folder::empty().with("p/profile.txt", NAMESPACE));
    assert!(said.contains("there is no file in --from whose name ends in .yaml, .yml or .json"), "{said}");
    let said = warned(&Folder::empty().with("p/n.yaml", NAMESPACE));
    assert!(said.contains("namespace team-a opted in, but no profile claims it"), "{said}");
    let said = warned(&Folder::empty().with("p/n.yaml", NAMESPACE.replace("enabled", "Enabled")));
    assert!(
        said.contains("p/n.yaml: Namespace team-a: metadata.labels[spark-injector.io/inject]: \"Enabled\""),
        "{said}"
    );
    let misspelt = NAMESPACE.replace("enabled}", "enabled, spark-injector.io/isolat: enabled}");
    let said = warned(&Folder::empty().with("p/n.yaml", misspelt));
    assert!(
        said.contains("metadata.labels[spark-injector.io/isolat]: none that is read; those are"),
        "{said}"
    );
    let profile = "{apiVersion: spark-injector.io/v1alpha1, kind: SparkProfile, metadata: {name: a}, spec: {namespaces: \
        {names: [team-a]}, nodeSelector: {default: {pool: x}, allowed: {pool: [w]}}}}";
    let said = warned(&Folder::empty().with("p/n.yaml", NAMESPACE).with("p/p.yaml", profile));
    let template = "executor: {template: {spec: {nodeSelector: {pool: z}}}}, nodeSelector:";
    let other = profile.replace("nodeSelector:", template).replace("pool: x", "pool: w");
    let refused = warned(&Folder::empty().with("p/n.yaml", NAMESPACE).with("p/p.yaml", other));
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
    let folder = Folder::empty().with("p/kube", kubeconfig("nonsense"));
    for line in ASKING {
        let (code, out, said) = run(&folder, &format!("{line} --kubeconfig p/kube"));
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
    let folder = Folder::empty().with("p/kube", kubeconfig(&server));
    let (code, out, said) = run(&folder, "check --kubeconfig p/kube");
    assert!(code == 3 && out.contains(&format!("{server}: ")), "{out}{said}");
    assert!(out.contains("0 passed, 1 failed") && !out.contains("ServiceError"), "{out}");
    let (code, out, said) = run(&folder, "explain --namespace team-a --running --kubeconfig p/kube");
    assert_eq!((code, out.as_str()), (2, ""), "{said}");
    assert!(said.contains(&format!("SparkProfiles cannot be read: {server}: ")), "{said}");
    assert!(
        said.contains("see --kubeconfig and --context, or use --from") && !said.contains("right"),
        "{said}"
    );
}

#[test]
fn outside_of_a_cluster_files_are_the_other_way() {
    let folder = Folder::empty();
    for line in ASKING {
        let output = folder.command(line).env("HOME", folder.path("")).output().unwrap();
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
    let folder = Folder::empty().with("p/a.yaml", format!("{namespaces}{}{broken}", profile("team-a", "")));
    let (code, out, said) = run(&folder, "secrets --from p");
    assert_eq!(code, 2, "{said}");
    assert!(out.contains("namespace: team-a") && !out.contains("namespace: team-b"), "{out}");
    assert!(said.contains("SparkProfile team-b: spec.files[1].secret.name"), "{said}");
    assert_eq!(run(&folder, "secrets --from p --namespace team-a").0, 0);
    assert_eq!(run(&folder, "secrets --from p --namespace team-b").0, 2);
}

#[test]
fn a_document_of_a_stream_is_told_by_its_number() {
    let stream = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n---\n- not an object\n";
    let folder = Folder::empty().with("p/n.yaml", NAMESPACE).with("pods.yaml", stream);
    for command in ["inject", "explain"] {
        let (code, out, said) = run(&folder, &format!("{command} --from p --namespace team-a -f pods.yaml"));
        assert_eq!((code, out.as_str()), (2, ""), "{said}");
        assert!(said.contains("error: document 2: input: not a Kubernetes object"), "{said}");
    }
}
