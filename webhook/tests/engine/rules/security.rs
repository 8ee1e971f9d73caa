//! Security contexts: set field by field in pod and Spark container; and the user of the init container.

use serde_json::{Value, json};

use super::{common, enforced, kept, spark_field};
use spark_injector::catalog::Catalog;

use crate::support::{TEAM, admit, catalog, denied, driver, inject, named, with};

const POD: &str = "/spec/securityContext";
const SPARK: &str = "/spec/containers/0/securityContext";

#[test]
fn unset_fields_are_set_and_the_rest_stays() {
    let catalog = catalog(&common(
        "securityContext: {fsGroup: 2000}, containers: [{name: spark, securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false}}]",
        "",
    ));
    for own in [json!(null), json!({})] {
        let pod = inject(&catalog, &with(driver(), POD, own));
        assert_eq!(pod["spec"]["securityContext"], json!({ "fsGroup": 2000 }));
    }
    let pod = with(driver(), SPARK, json!({ "allowPrivilegeEscalation": false }));
    let pod = inject(&catalog, &pod);
    let expected = json!({ "allowPrivilegeEscalation": false, "runAsNonRoot": true });
    assert_eq!(pod["spec"]["containers"][0]["securityContext"], expected);
}

#[test]
fn a_different_field_is_kept_or_refused_under_enforce() {
    let pod = with(driver(), POD, json!({ "fsGroup": 1 }));
    kept(&catalog(&common("securityContext: {fsGroup: 2000}", "")), &pod, POD, "fsGroup");
    enforced(&catalog(&common("securityContext: {fsGroup: 2000}", "securityContext")), &pod, "fsGroup");
    let pod = with(driver(), SPARK, json!({ "runAsUser": 1 }));
    kept(&catalog(&spark_field("securityContext: {runAsUser: 7}", "")), &pod, SPARK, "runAsUser");
    enforced(&catalog(&spark_field("securityContext: {runAsUser: 7}", "securityContext")), &pod, "runAsUser");
}

/// Spark 4.3 says that no privileges may be gained; the API server refuses that beside `privileged`.
#[test]
fn what_cannot_stand_beside_the_pods_own_is_left_out_or_refused_under_enforce() {
    for (ours, own, word) in [
        (
            "privileged: true, runAsUser: 7",
            json!({ "allowPrivilegeEscalation": false, "runAsUser": 7 }),
            "allowPrivilegeEscalation",
        ),
        (
            "allowPrivilegeEscalation: false, runAsUser: 7",
            json!({ "privileged": true, "runAsUser": 7 }),
            "privileged",
        ),
    ] {
        let field = format!("securityContext: {{{ours}}}");
        let pod = with(driver(), SPARK, own);
        kept(&catalog(&spark_field(&field, "")), &pod, SPARK, &format!("securityContext {word}"));
        let (code, message) = denied(&catalog(&spark_field(&field, "securityContext")), &pod);
        assert_eq!(code, 403, "{message}");
        for part in [word, "cannot stand beside", "team-a: spec.common", "leave it out"] {
            assert!(message.contains(part), "{part} in {message}");
        }
        inject(&catalog(&spark_field(&field, "securityContext")), &driver());
    }
}

#[test]
fn an_empty_list_is_not_set_at_every_call() {
    let field = "securityContext: {fsGroup: 2000, supplementalGroups: []}";
    let pod = inject(&catalog(&common(field, "securityContext")), &driver());
    assert_eq!(pod["spec"]["securityContext"], json!({ "fsGroup": 2000 }));
}

/// A container's own word counts before the pod's.
#[test]
fn a_container_is_no_way_around_what_is_enforced_for_the_pod() {
    let field = "securityContext: {runAsUser: 1000, fsGroup: 2000}";
    let root = with(driver(), SPARK, json!({ "runAsUser": 0 }));
    enforced(&catalog(&common(field, "securityContext")), &root, "securityContext runAsUser");
    kept(&catalog(&common(field, "")), &root, SPARK, "securityContext runAsUser");
    let same = json!({ "runAsUser": 1000, "allowPrivilegeEscalation": false });
    inject(&catalog(&common(field, "securityContext")), &with(driver(), SPARK, same));
    // What the profile says of the container itself is compared with the container's alone.
    let both = format!("{field}, containers: [{{name: spark, securityContext: {{runAsUser: 0}}}}]");
    inject(&catalog(&common(&both, "securityContext")), &root);
}

/// Once all webhooks are done, the API server makes the field of the container from it.
#[test]
fn an_annotation_is_no_way_around_what_is_enforced_either() {
    let app_armor = "container.apparmor.security.beta.kubernetes.io/spark-kubernetes-driver";
    let seccomp = "seccomp.security.alpha.kubernetes.io/pod";
    let profile = |field: &str| format!("securityContext: {{{field}: {{type: RuntimeDefault}}}}");
    let of_pod = |field: &str, enforce: &str| catalog(&common(&profile(field), enforce));
    let of_spark = |field: &str, enforce: &str| catalog(&spark_field(&profile(field), enforce));
    let pod = |annotation: &str, text: &str| {
        let key = annotation.replace('/', "~1");
        with(driver(), &format!("/metadata/annotations/{key}"), text)
    };
    for (field, annotation, catalog) in [
        ("appArmorProfile", app_armor, &of_pod as &dyn Fn(&str, &str) -> Catalog),
        ("appArmorProfile", app_armor, &of_spark),
        ("seccompProfile", seccomp, &of_pod),
    ] {
        for own in ["unconfined", "localhost/x"] {
            enforced(&catalog(field, "securityContext"), &pod(annotation, own), field);
            assert!(
                admit(&catalog(field, ""), TEAM, &pod(annotation, own)).warnings.concat().contains(field)
            );
        }
        inject(&catalog(field, "securityContext"), &pod(annotation, "runtime/default"));
    }
}

/// Who the init container runs as, with this template and these two contexts in the pod.
fn init_user(template: &str, container: Value, pod: Value) -> Value {
    let spec = format!(
        "{{files: [{{mountPath: /x, inline: {{a: b}}}}], common: {{template: {{spec: {{{template}}}}}}}}}"
    );
    let sent = with(with(driver(), SPARK, container), POD, pod);
    let (patched, _) = crate::support::inject_with_warnings(&catalog(&spec), &sent);
    named(&patched, "/spec/initContainers", "spark-injector-init")["securityContext"]["runAsUser"].clone()
}

#[test]
fn the_init_container_runs_as_the_user_who_reads_the_files() {
    let overlay = "containers: [{name: spark, securityContext: {runAsUser: 30}}]";
    let pod_overlay = "securityContext: {runAsUser: 50}";
    let none = || json!(null);
    assert_eq!(
        init_user(overlay, json!({ "runAsUser": 20 }), json!({ "runAsUser": 40 })),
        20,
        "the container's own"
    );
    assert_eq!(init_user(overlay, none(), json!({ "runAsUser": 40 })), 30, "what the container will get");
    assert_eq!(init_user("", none(), json!({ "runAsUser": 40 })), 40, "the pod's own");
    assert_eq!(init_user(pod_overlay, none(), none()), 50, "what the pod will get");
    assert_eq!(init_user(pod_overlay, none(), json!({ "runAsUser": 40 })), 40, "the pod's own stays");
    assert_eq!(init_user("", none(), none()), 185, "the user of Apache's images");
}

#[test]
fn root_reads_what_another_user_wrote() {
    assert_eq!(init_user("", json!({ "runAsUser": 0 }), json!(null)), 185);
    assert_eq!(init_user("", json!(null), json!({ "runAsUser": 0 })), 185);
}

#[test]
fn the_init_container_passes_the_restricted_pod_security_standard() {
    let pod = inject(&catalog("files: [{mountPath: /x, inline: {a: b}}]"), &driver());
    let init = named(&pod, "/spec/initContainers", "spark-injector-init");
    let expected = json!({
        "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }, "readOnlyRootFilesystem": true,
        "runAsNonRoot": true, "runAsUser": 185, "seccompProfile": { "type": "RuntimeDefault" },
    });
    assert_eq!(init["securityContext"], expected);
    assert_eq!(init["resources"]["limits"], init["resources"]["requests"]);
    let token = named(init, "/volumeMounts", "spark-injector-no-token");
    assert_eq!(token["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
}

#[test]
fn the_group_of_the_spark_container_is_the_init_containers_too() {
    let pod = with(driver(), SPARK, json!({ "runAsUser": 1000, "runAsGroup": 3000 }));
    let pod = inject(&catalog("files: [{mountPath: /x, inline: {a: b}}]"), &pod);
    assert_eq!(
        named(&pod, "/spec/initContainers", "spark-injector-init")["securityContext"]["runAsGroup"],
        3000
    );
}
