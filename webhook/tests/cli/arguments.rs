//! Arguments, help, and what the commands print about themselves.

use std::process::{Command, Stdio};

use super::folder::{Folder, POD, PROGRAM};

#[test]
fn every_command_explains_itself() {
    let folder = Folder::new();
    for command in ["", "inject", "explain", "check", "validate", "secrets", "serve", "crd", "completions"] {
        let ran = folder.run(&format!("{command} --help"), "");
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        assert!(ran.stdout.contains("Examples:\n  "), "{command}");
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

/// They become parts of paths on the API server.
#[test]
fn names_lead_nowhere_else() {
    let folder = Folder::new();
    for (line, said) in [
        ("explain --namespace team-a --pod ../secrets/a", "the name of a pod"),
        ("explain --namespace team-a --pod=", "the name of a pod"),
        ("explain --namespace .. --running", "the name of a namespace"),
        ("explain --namespace= --running", "the name of a namespace"),
        ("inject --from p --namespace=", "the name of a namespace"),
        ("check --namespace team-a,a/b", "the name of a namespace"),
    ] {
        let ran = folder.run(line, "");
        assert_eq!(ran.code, 2, "{line}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{line}: {}", ran.stderr);
    }
}

#[test]
fn flags_have_environment_variables() {
    let folder = Folder::new();
    let output =
        Command::new(PROGRAM).arg("validate").env("SPARK_INJECTOR_FROM", folder.path("p")).output().unwrap();
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
    let mut child =
        Command::new(PROGRAM).arg("crd").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
