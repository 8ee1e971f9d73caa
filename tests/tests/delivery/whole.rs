//! The whole of it as it is installed, with the flags of the manifests and logs at the most verbose: what was secret is
//! in no trace, whatever went wrong, and the API server is asked for no more than is needed.
//!
//! The audit log holds requests and answers whole, but for Secrets, of which it holds who did what: as every cluster
//! should have it that keeps such a log.

use std::collections::BTreeSet;

use acceptance::client::{Api, Namespace, Reply, secret};
use acceptance::cluster::{Audit, Cluster, ClusterOptions};
use acceptance::installed::Installed;
use acceptance::manifests::{OWN, folder};
use acceptance::process::wait_until;
use acceptance::webhook::Webhook;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::world::{CANARY, WITHIN, delivered};

/// How a text looks inside of base64, wherever it stands.
fn encoded(text: &str) -> Vec<String> {
    let at = |shift: usize| {
        let encoded = BASE64.encode(format!("{}{text}", "x".repeat(shift)));
        // What the neighbours have a part in is left out.
        let [start, end] = [(shift * 8).div_ceil(6), encoded.len() - 4];
        encoded[start..end].to_owned()
    };
    (0..3).map(at).collect()
}

/// The canary as it is, encoded, and encoded twice.
fn shapes() -> Vec<String> {
    let once = encoded(CANARY);
    let twice = once.iter().flat_map(|text| encoded(text));
    [CANARY.to_owned()].into_iter().chain(twice).chain(once.clone()).collect()
}

/// The canary, and so much noise that no compression helps.
fn large() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    });
    CANARY.bytes().chain(noise.take(600_000)).collect()
}

fn driver(namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": "driver", "namespace": namespace, "labels": {"spark-role": "driver"}},
           "spec": {"restartPolicy": "Never", "containers": [
               {"name": "spark-kubernetes-driver", "image": "apache/spark:4.3.0", "args": ["driver"]}]}})
}

/// The installation, with profiles of every delivery and namespaces that refuse in every way.
struct Whole {
    cluster: Cluster,
    api: Api,
    replicas: Vec<Webhook>,
    _installed: Installed,
}

impl Whole {
    fn start() -> Self {
        let cluster = Cluster::start_with(&ClusterOptions {
            controller_manager: true,
            audit: Audit::ButSecrets,
            ..ClusterOptions::default()
        });
        let installed = Installed::on(&cluster, &folder("guarded"));
        let api = installed.api.clone();
        let mut pod = installed.pod();
        let env = pod["spec"]["containers"][0]["env"].as_array_mut().expect("variables");
        env.push(json!({"name": "SPARK_INJECTOR_LOG", "value": "trace,kube_client::client=trace,kube_runtime=trace"}));
        let replicas: Vec<Webhook> = (0..2).map(|_| installed.run(&pod, &[])).collect();
        for replica in &replicas {
            replica.join(&installed.balancer);
        }
        let ready =
            wait_until(WITHIN, || (installed.balancer.ready() == 2 && installed.is_bundled()).then_some(()));
        assert!(ready.is_some(), "{}", replicas[0].admin("/readyz").1);
        Self { cluster, api, replicas, _installed: installed }
    }

    fn namespace(&self, namespace: &Namespace) {
        self.api.create_namespace(namespace);
    }

    fn profile(&self, name: &str, namespaces: &[&str], more: &Value) {
        let mut spec = json!({"namespaces": {"names": namespaces}});
        for (field, value) in more.as_object().expect("fields") {
            spec[field] = value.clone();
        }
        self.api.apply(&json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile",
                               "metadata": {"name": name}, "spec": spec}));
    }

    fn status(&self, profile: &str) -> Value {
        let path = format!("/apis/spark-injector.io/v1alpha1/sparkprofiles/{profile}");
        self.api.get(&path).expect(200)["status"].take()
    }

    #[track_caller]
    fn until(&self, profile: &str, question: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = wait_until(WITHIN, || {
            last = self.status(profile);
            question(&last).then(|| last.clone())
        });
        found.unwrap_or_else(|| panic!("the status of {profile} stays {last:#}"))
    }

    /// One that refuses Secrets with a message which quotes what it was given.
    fn quote(&self, namespace: &str) {
        let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]});
        let policy = json!({"failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "resourceRules": [rule]},
            "validations": [{"expression": "false",
                "messageExpression": "'quotes ' + (has(object.data) ? string(object.data['etl.keytab']) : 'nothing')"}]});
        self.api.apply_policy("quoting", &policy);
        let quotes = wait_until(WITHIN, || {
            let reply = self.api.dry_run(&secret(namespace, "x", &[("etl.keytab", CANARY.as_bytes())]));
            (reply.status == 422).then_some(reply)
        });
        assert!(quotes.expect("the policy is in effect").message().contains("quotes Y2FuYXJ5"));
    }

    /// Sets up what is delivered, refused, and not possible.
    fn furnish(&self) {
        let api = &self.api;
        for name in [
            "whole-a",
            "whole-quota",
            "whole-quoting",
            "whole-ending",
            "whole-auto",
            "whole-env",
            "whole-large",
            "whole-good",
            "whole-nobody",
        ] {
            self.namespace(&Namespace::new(name).opted_in());
        }
        self.namespace(&Namespace::new("whole-taken"));
        api.apply(&json!({"apiVersion": "v1", "kind": "ResourceQuota",
                          "metadata": {"name": "tight", "namespace": "whole-quota"}, "spec": {"hard": {"count/secrets": "0"}}}));
        let counted = wait_until(WITHIN, || {
            (api.dry_run(&secret("whole-quota", "x", &[])).status == 403).then_some(())
        });
        assert!(counted.is_some(), "the quota is not in effect");
        self.quote("whole-quoting");
        let mut held = secret("whole-ending", "held", &[]);
        held["metadata"]["finalizers"] = json!(["example.com/held"]);
        api.create(&held).expect(201);
        api.delete(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "whole-ending"}}));

        api.apply_secret(OWN, "keytab", &[("etl.keytab", CANARY.as_bytes())]);
        let config = json!({"auths": {"r.example": {"auth": CANARY}}}).to_string();
        api.apply_secret(OWN, "registry", &[(".dockerconfigjson", config.as_bytes())]);
        for name in ["large-1", "large-2"] {
            api.apply_secret(OWN, name, &[(name, &large())]);
        }
        api.apply_config_map(OWN, "conf", &[("app.conf", "on")]);
        let conf = json!({"mountPath": "/conf", "configMap": {"name": "conf"}});
        let from = |name: &str| json!({"mountPath": format!("/{name}"), "secret": {"name": name}});
        let scheduler = json!({"template": {"spec": {"schedulerName": "ours"}}});
        self.profile(
            "whole-secret",
            &["whole-a", "whole-quota", "whole-quoting", "whole-ending", "whole-taken"],
            &json!({"delivery": "Secret", "files": [from("keytab"), conf], "pullSecret": {"secret": {"name": "registry"}},
                    "enforce": ["schedulerName"], "common": scheduler}),
        );
        self.profile("whole-auto", &["whole-auto"], &json!({"files": [from("keytab"), conf]}));
        self.profile("whole-env", &["whole-env"], &json!({"delivery": "Env", "files": [from("keytab")]}));
        self.profile("whole-large", &["whole-large"], &json!({"files": [from("large-1"), from("large-2")]}));
        self.profile("whole-good", &["whole-good"], &json!({"files": [conf]}));

        // Somebody was there first, under the very name, with other content.
        let revision =
            self.until("whole-secret", |status| status["revision"].is_string())["revision"].clone();
        let name = format!("spark-injector-whole-secret-{}", revision.as_str().expect("a revision"));
        api.create(&secret("whole-taken", &name, &[("etl.keytab", b"planted")])).expect(201);
        let label = json!({"metadata": {"labels": {"spark-injector.io/inject": "enabled"}}});
        api.patch("/api/v1/namespaces/whole-taken", "application/merge-patch+json", &label).expect(200);
    }

    /// What became of each profile.
    fn settle(&self) {
        let condition = |status: &Value, kind: &str| {
            let all = status["conditions"].as_array().into_iter().flatten();
            all.clone().find(|condition| condition["type"] == kind).cloned().unwrap_or_default()
        };
        self.until("whole-secret", |status| {
            let failed: Vec<&Value> = status["failedNamespaces"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|failed| &failed["reason"])
                .collect();
            delivered(status)["reason"] == "DeliveryFailed"
                && failed.len() == 2
                && status["namespaces"]["delivered"] == 2
        });
        self.until("whole-auto", |status| delivered(status)["reason"] == "Delivered");
        for (profile, reason) in [("whole-env", "ClientAuthRequired"), ("whole-large", "TooLarge")] {
            self.until(profile, |status| {
                let ready = condition(status, "Ready");
                ready["status"] == "False" && ready["reason"] == reason
            });
        }
        self.until("whole-good", |status| condition(status, "Ready")["status"] == "True");
    }

    /// Pods that are taken, and the texts with which others are refused.
    fn pods(&self) -> Vec<String> {
        let create = |pod: &Value| -> Reply {
            // The Service account of a new namespace comes from a controller.
            self.api.ensure_service_account(pod["metadata"]["namespace"].as_str().expect("text"), "default");
            self.api.create(pod)
        };
        for namespace in ["whole-a", "whole-auto", "whole-good"] {
            let stored = create(&driver(namespace)).expect(201);
            assert_eq!(stored["spec"]["initContainers"][0]["name"], "spark-injector-init", "{stored:#}");
            assert_eq!(stored.to_string().contains("secretKeyRef"), namespace != "whole-good");
        }
        let mut planted = driver("whole-a");
        planted["spec"]["initContainers"] = json!([{"name": "spark-injector-init", "image": "evil"}]);
        let mut volume = driver("whole-a");
        volume["spec"]["volumes"] = json!([{"name": "spark-injector-files", "hostPath": {"path": "/"}}]);
        let mut scheduled = driver("whole-a");
        scheduled["spec"]["schedulerName"] = "mine".into();
        let refused =
            [planted, volume, scheduled, driver("whole-env"), driver("whole-large"), driver("whole-nobody")];
        refused
            .iter()
            .map(|pod| {
                let reply = create(pod);
                assert_eq!(reply.status, 403, "{}", reply.text);
                assert!(reply.message().contains("spark-injector.io"), "{}", reply.text);
                format!("{}{:?}", reply.text, reply.headers)
            })
            .collect()
    }

    /// Calls of the injector's account so far.
    fn calls(&self) -> Vec<Value> {
        let account = format!("system:serviceaccount:{OWN}:{OWN}");
        let log = self.cluster.audit_log().into_iter();
        log.filter(|event| event["user"]["username"] == account.as_str()).collect()
    }

    fn everything(&self) -> String {
        let list = |version: &str, kind: &str| json!(self.api.list(version, kind, None)).to_string();
        [
            list("spark-injector.io/v1alpha1", "SparkProfile"),
            list("events.k8s.io/v1", "Event"),
            list("v1", "Pod"),
            list("v1", "ConfigMap"),
            list("v1", "Namespace"),
            list("coordination.k8s.io/v1", "Lease"),
            list("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
        ]
        .concat()
    }
}

/// What kind of thing a call was about, and how, in short.
fn in_short(event: &Value) -> String {
    let reference = &event["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let own = if reference["namespace"] == OWN { "own " } else { "" };
    format!("{} {own}{}", text(&event["verb"]), text(&reference["resource"]))
}

#[test]
fn what_is_secret_leaves_no_trace_and_nothing_is_asked_that_is_not_needed() {
    let whole = Whole::start();
    whole.furnish();
    whole.settle();
    let mut texts = whole.pods();
    // Another keytab is another revision, which supersedes the first one.
    whole.api.apply_secret(OWN, "keytab", &[("etl.keytab", format!("{CANARY} 2").as_bytes())]);
    let before = whole.status("whole-auto")["revision"].clone();
    whole.until("whole-auto", |status| {
        status["revision"] != before && status["deliveredRevision"] == status["revision"]
    });

    // Nothing is asked for a pod: not about its namespace, and not about anything else.
    let known = whole.calls().len();
    for _ in 0..50 {
        whole.api.dry_run(&driver("whole-good")).expect(409);
        let mut other = driver("whole-good");
        other["metadata"]["name"] = "other".into();
        whole.api.dry_run(&other).expect(201);
    }
    let meanwhile = whole.calls().split_off(known);
    let about_pods: Vec<String> = meanwhile
        .iter()
        .filter(|event| {
            event["objectRef"]["namespace"] == "whole-good" || event["objectRef"]["name"] == "whole-good"
        })
        .map(in_short)
        .collect();
    assert!(about_pods.is_empty(), "{about_pods:?}");
    // What goes on all the time beside the Lease: Secrets that are looked after, certificates.
    let others: Vec<String> =
        meanwhile.iter().map(in_short).filter(|call| !call.ends_with("leases")).collect();
    assert!(others.len() < 50, "{others:#?}");

    // All that was ever asked, from the start on.
    let asked: BTreeSet<String> = whole.calls().iter().map(in_short).collect();
    let expected = [
        "create events",
        "create own configmaps",
        "create own leases",
        "create own secrets",
        "create secrets",
        "delete secrets",
        "get own configmaps",
        "get own leases",
        "get own secrets",
        "get sparkprofiles",
        "get mutatingwebhookconfigurations",
        "list mutatingwebhookconfigurations",
        "list namespaces",
        "list own configmaps",
        "list own secrets",
        "list sparkprofiles",
        "patch events",
        "patch mutatingwebhookconfigurations",
        "patch own configmaps",
        "patch sparkprofiles",
        "update own leases",
        "update own secrets",
        "watch mutatingwebhookconfigurations",
        "watch namespaces",
        "watch own configmaps",
        "watch own secrets",
        "watch sparkprofiles",
    ];
    let more: Vec<&String> = asked.iter().filter(|call| !expected.contains(&call.as_str())).collect();
    assert!(more.is_empty(), "{more:?}");
    assert!(asked.contains("create secrets") && asked.contains("watch namespaces"), "{asked:?}");

    // The canary is where it belongs …
    let shapes = shapes();
    let name = format!("spark-injector-whole-auto-{}", before.as_str().expect("a revision"));
    let stored = whole.api.read(&secret("whole-auto", &name, &[])).expect(200)["data"].to_string();
    assert!(shapes.iter().any(|shape| stored.contains(shape)), "{stored}");

    // … and nowhere else.
    for replica in &whole.replicas {
        let log = replica.log();
        assert!(log.iter().any(|line| line.contains("\"TRACE\"")), "the log is not verbose");
        texts.extend([log.join("\n"), replica.metrics()]);
    }
    texts.push(whole.everything());
    let mut audit = whole.cluster.audit_log();
    // But for what the policy itself makes the API server write.
    audit.retain(|event| !event["responseStatus"]["message"].to_string().contains("'quoting'"));
    let audit = json!(audit).to_string();
    assert!(audit.contains("patch.webhook.admission.k8s.io"), "patches are in the audit log");
    assert!(audit.contains("failedNamespaces"), "and so is what is written into a status");
    texts.push(audit);
    for text in &texts {
        if let Some(found) = shapes.iter().find_map(|shape| text.find(shape.as_str())) {
            let near: String = text.chars().skip(found.saturating_sub(300)).take(600).collect();
            panic!("a keytab is told:\n{near}");
        }
    }
}
