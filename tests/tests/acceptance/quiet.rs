//! That nothing of what travels is told beside the answer to the API server: not in the log at its loudest, nor in metrics,
//! health, or what others are answered.

use std::io::Write as _;

use acceptance::client::{Credential, Namespace, config_map, secret};
use acceptance::webhook::{Options, Webhook};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::world::{driver, profile};

const CANARY: &str = "canary-of-everything-that-travels";
const TOKEN: &str = "canary-of-a-token-5e1f3d9a";
/// A password that somebody wrote without quotes.
const PIN: u64 = 7_306_914_285_561_842;

/// The text, and how it looks inside base64 wherever it begins.
fn forms(text: &str) -> Vec<String> {
    let encoded = |before: &str| {
        let whole = BASE64.encode(format!("{before}{text}"));
        // The first and the last group may hold something of what stands beside it.
        whole.get(4..whole.len() - 4).expect("a long text").to_owned()
    };
    let mut forms = vec![text.to_owned()];
    forms.extend(["", "x", "xx"].map(encoded));
    forms.push(BASE64.encode(BASE64.encode(text)).trim_end_matches('=').to_owned());
    forms
}

#[track_caller]
fn tells_nothing(what: &str, text: &str) {
    for form in [CANARY, TOKEN, &PIN.to_string()].into_iter().flat_map(forms) {
        assert!(!text.contains(&form), "{what} tells {form}: {text}");
    }
}

fn documents(more: &Value) -> Vec<Value> {
    let mut spec = json!({
        "delivery": "Env",
        "files": [
            {"mountPath": "/inline", "inline": {"a.conf": CANARY}},
            {"mountPath": "/map", "configMap": {"name": "map"}},
            {"mountPath": "/keys", "secret": {"name": "keys"}},
        ],
        "common": {"template": {
            "metadata": {"annotations": {"secret": CANARY}},
            "spec": {"containers": [{
                "name": "spark",
                "env": [{"name": "PASSWORD", "value": CANARY}],
                "lifecycle": {"preStop": {"exec": {"command": [CANARY]}}},
            }]},
        }},
        "enforce": ["annotations", "env", "lifecycle"],
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    vec![
        Namespace::new("quiet").opted_in().isolated().object(),
        config_map("spark-injector", "map", &[("b.conf", CANARY)]),
        secret("spark-injector", "keys", &[("etl.keytab", CANARY.as_bytes())]),
        profile("quiet", &spec),
    ]
}

#[test]
fn what_travels_is_told_to_nobody_but_the_api_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("a path in UTF-8").to_owned();
    let write = |documents: &[Value]| {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": documents});
        std::fs::write(at("new"), list.to_string()).expect("a file");
        std::fs::rename(at("new"), at("inputs/all.json")).expect("the file in its place");
    };
    std::fs::create_dir(at("inputs")).expect("a folder");
    write(&documents(&json!({})));
    std::fs::write(at("token"), TOKEN).expect("a file");
    let args = ["--from", &at("inputs"), "--poll", "50ms", "--client-token-file", &at("token")];
    let webhook = Webhook::launch(&Options {
        args: args.map(ToOwned::to_owned).to_vec(),
        env: vec![("SPARK_INJECTOR_LOG", "trace".to_owned())],
        ..Options::default()
    });

    let review = |pod: &Value| {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "quiet", "operation": "CREATE", "object": pod}})
    };
    let mut pod = driver("quiet", "d");
    pod["metadata"]["annotations"] = json!({"note": CANARY});
    pod["spec"]["containers"][0]["env"] = json!([{"name": "OWN", "value": CANARY}]);
    let known = webhook.direct(Credential::Token(TOKEN.to_owned()));
    let given = known.post("/mutate", &review(&pod)).expect(200);
    let patch = given["response"]["patch"].as_str().expect("a patch");
    let patch = String::from_utf8(BASE64.decode(patch).expect("base64")).expect("text");
    assert!(patch.contains(&BASE64.encode(CANARY)) && patch.contains(CANARY), "it is what is given");

    // Refusals, about the very fields that hold it.
    let mut refused = Vec::new();
    let mut pinned = pod.clone();
    pinned["spec"]["volumes"] = json!([{"name": "spark-injector-files", "hostPath": {"path": CANARY}}]);
    refused.push(known.post("/mutate", &review(&pinned)));
    let mut planted = pod.clone();
    planted["spec"]["initContainers"] = json!([{"name": "spark-injector-init", "image": CANARY, "env": [
        {"name": "INIT_SYNC_MANIFEST", "value": CANARY}]}]);
    refused.push(known.post("/mutate", &review(&planted)));
    let mut wrong = pod.clone();
    wrong["spec"]["containers"] = CANARY.into();
    refused.push(known.post("/mutate", &review(&wrong)));
    let command = json!({"preStop": {"exec": {"command": ["true"]}}});
    for (field, own) in [
        ("/metadata/annotations", json!({"secret": "own"})),
        ("/spec/containers/0/env", json!([{"name": "PASSWORD", "value": "own"}])),
        ("/spec/containers/0/lifecycle", command),
    ] {
        let mut enforced = pod.clone();
        let (parent, name) = field.rsplit_once('/').expect("a path");
        enforced.pointer_mut(parent).expect("the field's object")[name] = own;
        let reply = known.post("/mutate", &review(&enforced));
        let said = reply.body["response"]["status"]["message"].as_str().unwrap_or_default();
        assert!(said.contains("profile quiet enforces its own (quiet: spec.common"), "{said}");
        refused.push(reply);
    }
    for body in [format!("{{\"request\": {CANARY}"), format!("[\"{CANARY}\"]"), CANARY.repeat(1000)] {
        let reply = known.send("POST", "/mutate", "application/json", body.into_bytes());
        refused.push(reply.expect("an answer"));
    }
    // Callers that are not the API server.
    refused.push(webhook.direct(Credential::None).post("/mutate", &review(&pod)));
    let other = Credential::Token(format!("{TOKEN}x"));
    refused.push(webhook.direct(other).post("/mutate", &review(&pod)));
    for reply in &refused {
        assert!(reply.status >= 400 || reply.body["response"]["allowed"] == false, "{}", reply.text);
        tells_nothing("an answer", &format!("{}{:?}", reply.text, reply.headers));
    }

    // Mistakes in the inputs, about the same.
    let unquoted = json!([{"name": "spark", "env": [{"name": "PIN", "value": PIN}]}]);
    write(&documents(&json!({"common": {"template": {"spec": {"containers": unquoted}}}})));
    webhook.wait_for_log("spec.common.template.spec.containers[0].env[0].value: ");
    write(&documents(&json!({"files": [{"mountPath": "/x", "inline": {"a": CANARY}, "configMap": CANARY}]})));
    webhook.wait_for_log("spec.files[0].configMap: ");
    std::fs::write(at("inputs/broken.yaml"), format!("a: [{CANARY}\nb: {{")).expect("a file");
    webhook.wait_for_log("broken.yaml");

    // Bytes that are no TLS at all; and the log is at its loudest, or it would not tell of them.
    let mut plain = std::net::TcpStream::connect(webhook.review_address()).expect("a connection");
    plain.write_all(CANARY.as_bytes()).expect("a request");
    webhook.wait_for_log("no TLS connection");
    for line in &webhook.log() {
        tells_nothing("the log", line);
    }
    for path in ["/metrics", "/readyz", "/livez"] {
        tells_nothing(path, &webhook.admin(path).1);
    }
}
