//! Reviews that no API server sent, posted straight to both entries: whoever forges one learns what an ordinary user of
//! the namespace of the request would be given, and no value of a Secret.

use acceptance::client::{Api, Credential, Namespace, Reply};
use acceptance::kubelet::INIT_CONTAINER;
use acceptance::registration::STATUS_ANNOTATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::world::{Plan, World, driver, profile};

const ENTRIES: [&str; 2] = ["/mutate", "/isolate"];
const KEYTAB: &str = "canary-of-a-keytab";
const FOREIGN: &str = r#"{"profile":"forged","revision":"0000000000000000","role":"driver"}"#;

fn start() -> (World, Api) {
    let files = json!([{"mountPath": "/keys", "secret": {"name": "keys"}, "roles": ["driver", "executor"]}]);
    let spec =
        |pool: &str| json!({"nodeSelector": {"scope": "AllPods", "default": {"pool": pool}}, "files": files});
    let world = World::start(Plan {
        name: "forged",
        namespaces: vec![
            Namespace::new("forged").opted_in().isolated(),
            Namespace::new("forged-other").opted_in().isolated(),
            Namespace::new("forged-unclaimed").opted_in().isolated(),
            Namespace::new("forged-out"),
        ],
        documents: vec![
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "spark-injector"},
                   "data": {"etl.keytab": BASE64.encode(KEYTAB)}}),
            profile("forged", &spec("a")),
            profile("forged-other", &spec("b")),
        ],
        ..Plan::default()
    });
    let direct = world.webhook.direct(Credential::None);
    (world, direct)
}

fn review(namespace: &str, pod: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "forged", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": namespace, "operation": "CREATE", "object": pod,
        "userInfo": {"username": "system:apiserver", "groups": ["system:masters"]}}})
}

/// The patch of an answer, as text; nothing in the answer is a value of the Secret.
#[track_caller]
fn patch(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text);
    let encoded = reply.body["response"]["patch"].as_str().unwrap_or_default();
    let patch = String::from_utf8(BASE64.decode(encoded).expect("base64")).expect("text");
    for secret in [KEYTAB.to_owned(), BASE64.encode(KEYTAB), BASE64.encode(BASE64.encode(KEYTAB))] {
        assert!(!reply.text.contains(&secret) && !patch.contains(&secret), "{patch}");
    }
    patch
}

#[test]
fn a_forged_review_gains_nothing() {
    let (world, direct) = start();
    // A pod that says it is of another namespace, in one that is not served, with every label there is.
    let mut pod = driver("forged", "f");
    pod["metadata"]["labels"]["spark-injector.io/inject"] = "enabled".into();
    pod["metadata"]["labels"]["spark-injector.io/isolate"] = "enabled".into();
    pod["metadata"]["annotations"] = json!({STATUS_ANNOTATION: FOREIGN});
    for entry in ENTRIES {
        let reply = direct.post(entry, &review("forged-out", &pod));
        assert_eq!(
            (patch(&reply).as_str(), &reply.body["response"]["allowed"]),
            ("", &json!(true)),
            "{entry}"
        );
        assert!(!reply.text.contains("profile\":\"forged"), "{}", reply.text);
        let reply = direct.post(entry, &review("forged-unclaimed", &pod));
        assert_eq!(
            (patch(&reply).as_str(), &reply.body["response"]["status"]["code"]),
            ("", &json!(403)),
            "{entry}"
        );
        // Not known: as it is while a namespace is new.
        assert_eq!(direct.post(entry, &review("forged-nowhere", &pod)).status, 503, "{entry}");
        // The namespace of the request counts, and nothing that the pod says.
        let other = patch(&direct.post(entry, &review("forged-other", &pod)));
        assert!(other.contains(r#""pool":"b""#) && !other.contains(r#""pool":"a""#), "{other}");
        assert!(
            !other.contains("spark-injector-forged-0") && !other.contains("profile\\\":\\\"forged\\\""),
            "{other}"
        );
    }
    // A node selector that the pod demands by the namespace's annotation is none.
    pod["metadata"]["annotations"] = json!({"scheduler.alpha.kubernetes.io/node-selector": "pool=b"});
    for entry in ENTRIES {
        assert!(patch(&direct.post(entry, &review("forged", &pod))).contains(r#""pool":"a""#), "{entry}");
    }
    // A pod that is nobody's, under our names: isolation gives it a place to run and nothing else.
    let mut plain = driver("forged", "plain");
    plain["metadata"]["labels"] = json!({"app": "x"});
    plain["metadata"]["annotations"] = json!({STATUS_ANNOTATION: FOREIGN});
    plain["spec"]["initContainers"] = json!([{"name": INIT_CONTAINER, "image": "evil"}]);
    plain["spec"]["volumes"] = json!([{"name": "spark-injector-files", "emptyDir": {}}]);
    assert_eq!(patch(&direct.post("/mutate", &review("forged", &plain))), "");
    let operations: Value =
        serde_json::from_str(&patch(&direct.post("/isolate", &review("forged", &plain)))).expect("a patch");
    let places: Vec<&Value> =
        operations.as_array().expect("operations").iter().map(|operation| &operation["path"]).collect();
    assert_eq!(places, ["/metadata/annotations/spark-injector.io~1status", "/spec/nodeSelector"]);
    assert!(operations[0]["value"].as_str().expect("text").ends_with(r#""isolated":true}"#), "{operations}");
    assert_eq!(operations[1]["value"], json!({"pool": "a"}));
    // A Spark pod under our names with other content is refused, and told what differs, not what ours holds.
    for (list, item) in [
        ("initContainers", json!({"name": INIT_CONTAINER, "image": "evil"})),
        ("volumes", json!({"name": "spark-injector-files", "hostPath": {"path": "/"}})),
    ] {
        let mut planted = driver("forged", "planted");
        planted["spec"][list] = json!([item]);
        let reply = direct.post("/mutate", &review("forged", &planted));
        assert_eq!(
            (patch(&reply).as_str(), &reply.body["response"]["status"]["code"]),
            ("", &json!(403)),
            "{list}"
        );
        assert_eq!(world.api.dry_run(&planted).status, 403);
    }
    // What would be given to the real ones refers to the Secret by name.
    let given = patch(&direct.post("/mutate", &review("forged", &driver("forged", "d"))));
    assert!(given.contains("secretKeyRef"), "{given}");
    // The very annotation of an injected pod, on one that has nothing of it: it is given everything, as ever.
    let injected = |namespace: &str| {
        let mut pod = driver(namespace, "d");
        let operations = patch(&direct.post("/mutate", &review(namespace, &pod)));
        let operations: json_patch::Patch = serde_json::from_str(&operations).expect("a patch");
        json_patch::patch(&mut pod, &operations).expect("it applies");
        pod
    };
    let mut signed = driver("forged", "signed");
    signed["metadata"]["annotations"] = injected("forged")["metadata"]["annotations"].take();
    let again = patch(&direct.post("/mutate", &review("forged", &signed)));
    for part in ["/spec/initContainers", "secretKeyRef", "/spec/volumes", "/spec/nodeSelector"] {
        assert!(again.contains(part), "{again}");
    }
    // All that another team's pod was given, brought here: refused, whatever this replica makes of the annotation.
    let mut moved = injected("forged-other");
    moved["metadata"]["namespace"] = "forged".into();
    for entry in ENTRIES {
        let reply = direct.post(entry, &review("forged", &moved));
        let refused = reply.status == 503 || reply.body["response"]["allowed"] == false;
        assert!(refused && !reply.text.contains("patchType"), "{entry}: {}", reply.text);
    }
    assert!(world.api.dry_run(&moved).status >= 400);
    let log = world.webhook.log().join("\n");
    assert!(!log.contains(KEYTAB) && !log.contains(&BASE64.encode(KEYTAB)), "{log}");
}
