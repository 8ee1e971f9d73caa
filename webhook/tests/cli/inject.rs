//! What `inject` and `secrets` take, print and refuse.

use serde_json::{Value, json};

use super::folder::{Folder, NAMESPACE, POD, PROFILE, json_of};

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

/// As a pod of the cluster is, once a file of the profile has changed.
#[test]
fn a_pod_of_another_revision_is_input_of_no_use_and_no_defect() {
    let with_file = |text: &str| format!("{PROFILE}  files: [{{mountPath: /x, inline: {{a: {text}}}}}]\n");
    let folder = Folder::new().with("p/profile.yaml", with_file("old"));
    let stored = folder.inject("", POD).stdout;
    folder.write("p/profile.yaml", &with_file("new"));
    for command in ["inject", "explain"] {
        let ran = folder.run(&format!("{command} --from p -n team-a"), &stored);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains("Pod exec-1: it was injected by another revision"), "{}", ran.stderr);
    }
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
