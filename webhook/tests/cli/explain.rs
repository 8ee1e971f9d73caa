//! What `explain` says about pods, and that it and `inject` judge by both entries.

use super::folder::{Folder, POD, json_of};

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
        "Kept: the user's own value stays, instead of the profile's:",
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
