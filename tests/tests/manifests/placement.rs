//! Who is refused by the policies about pods while the webhook does not answer.

use acceptance::client::{Api, Namespace};
use serde_json::{Value, json};

use crate::world::{cluster, eventually, refused};

fn pod(namespace: &str, labels: &Value, annotations: &Value, spec: &Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": namespace, "labels": labels, "annotations": annotations},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    for (key, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][key] = value.clone();
    }
    pod
}

/// A namespace of its own, once the API server sees its labels.
fn namespace(api: &Api, namespace: &Namespace) -> String {
    let name = namespace.name().to_owned();
    api.create_namespace(namespace);
    eventually(|| api.get(&format!("/api/v1/namespaces/{name}")), 200);
    name
}

#[test]
fn a_spark_pod_that_nobody_looked_at_is_refused() {
    let api = cluster().admin();
    let name = namespace(api, &Namespace::new("backstop").opted_in());
    let none = json!({});
    let spark = |role: &str, annotations: Value, spec: Value| {
        pod(&name, &json!({"spark-role": role}), &annotations, &spec)
    };
    for role in ["driver", "executor"] {
        let sentence = refused(&eventually(|| api.dry_run(&spark(role, none.clone(), none.clone())), 403));
        let start =
            format!("this Spark {role} was not seen by spark-injector, on which namespace backstop relies");
        assert!(sentence.starts_with(&start), "{sentence}");
        assert!(sentence.contains("submit it again"), "{sentence}");
        assert!(sentence.contains("spark-injector check --namespace backstop"), "{sentence}");
    }
    let admitted = [
        spark("driver", json!({"spark-injector.io/status": "{}"}), none.clone()),
        spark("other", none.clone(), none.clone()),
        pod(&name, &json!(null), &json!(null), &none),
        spark("driver", none.clone(), json!({"os": {"name": "windows"}})),
    ];
    for pod in admitted {
        assert_eq!(api.dry_run(&pod).status, 201, "{pod}");
    }
    for (name, label) in [("backstop-off", "spark-injector.io/backstop"), ("backstop-none", "a")] {
        let plain = Namespace::new(name).label(label, "disabled");
        let name = namespace(api, &if label == "a" { plain } else { plain.opted_in() });
        let pod = pod(&name, &json!({"spark-role": "driver"}), &none, &none);
        eventually(|| api.dry_run(&pod), 201);
    }
}

#[test]
fn an_isolated_namespace_keeps_every_pod_on_its_nodes() {
    let api = cluster().admin();
    let isolated =
        |name: &str, selector: &str| namespace(api, &Namespace::new(name).isolated().node_selector(selector));
    let none = json!({});
    let selecting = |namespace: &str, selector: Value| {
        pod(namespace, &json!({"app": "shell"}), &none, &json!({"nodeSelector": selector}))
    };
    let one = isolated("isolated-one", "pool=a, zone = z1 ,");
    let sentence = refused(&eventually(|| api.dry_run(&pod(&one, &none, &none, &none)), 403));
    assert!(
        sentence.starts_with("pods of the isolated namespace isolated-one need the node selector"),
        "{sentence}"
    );
    assert!(sentence.contains("pool=a, zone = z1, which spark-injector has not given"), "{sentence}");
    assert!(sentence.contains("or set spec.nodeSelector"), "{sentence}");
    assert!(sentence.contains("spark-injector check --namespace isolated-one"), "{sentence}");
    for (selector, missing) in [
        (json!({"pool": "a"}), "zone = z1"),
        (json!({"pool": "b", "zone": "z1"}), "pool=a"),
        (json!({"pool": "", "zone": "z1"}), "pool=a"),
    ] {
        let sentence = refused(&api.dry_run(&selecting(&one, selector)));
        assert!(sentence.contains(&format!("node selector {missing}, which")), "{sentence}");
    }
    assert_eq!(api.dry_run(&selecting(&one, json!({"pool": "a", "zone": "z1", "disk": "ssd"}))).status, 201);

    // Of a repeated key the last one counts, as it does for the webhook.
    let twice = isolated("isolated-twice", "pool=a,zone=z1,pool = b");
    let sentence = refused(&eventually(|| api.dry_run(&pod(&twice, &none, &none, &none)), 403));
    assert!(sentence.contains("node selector zone=z1, pool = b, which"), "{sentence}");
    refused(&api.dry_run(&selecting(&twice, json!({"pool": "a", "zone": "z1"}))));
    assert_eq!(api.dry_run(&selecting(&twice, json!({"pool": "b", "zone": "z1"}))).status, 201);

    // Nothing demanded, an empty value demanded, and a text that demands nothing that can be given.
    let plain = namespace(api, &Namespace::new("isolated-plain").isolated());
    assert_eq!(api.dry_run(&pod(&plain, &none, &none, &none)).status, 201);
    let empty = isolated("isolated-empty", "");
    assert_eq!(api.dry_run(&pod(&empty, &none, &none, &none)).status, 201);
    let blank = isolated("isolated-blank", "pool=");
    eventually(|| api.dry_run(&pod(&blank, &none, &none, &none)), 403);
    assert_eq!(api.dry_run(&selecting(&blank, json!({"pool": ""}))).status, 201);
    let wrong = isolated("isolated-wrong", "pool==a");
    eventually(|| api.dry_run(&selecting(&wrong, json!({"pool": "a"}))), 403);
    // A profile in mode Audit or Off changes nothing, and says so by no annotation.
    let audited = Namespace::new("isolated-audited").isolated().node_selector("pool=a");
    let audited = namespace(api, &audited.label("spark-injector.io/backstop", "disabled"));
    assert_eq!(api.dry_run(&pod(&audited, &none, &none, &none)).status, 201);
    // Isolation is switched by its own label.
    let other = namespace(api, &Namespace::new("isolated-not").node_selector("pool=a"));
    assert_eq!(api.dry_run(&pod(&other, &none, &none, &none)).status, 201);
}

/// What creation decides stays decided: the API server itself lets nobody loosen the selector or choose another node.
#[test]
fn a_pod_that_exists_cannot_be_let_loose() {
    let api = cluster().admin();
    let name = namespace(api, &Namespace::new("isolated-later").isolated().node_selector("pool=a"));
    let created = pod(&name, &json!({"app": "a"}), &json!({}), &json!({"nodeSelector": {"pool": "a"}}));
    eventually(|| api.create(&created), 201);
    let path = acceptance::client::object_path(&created);
    for change in [
        json!({"nodeSelector": {"pool": null}}),
        json!({"nodeSelector": {"pool": "b"}}),
        json!({"nodeName": "n1"}),
        json!({"schedulerName": "other"}),
        json!({"affinity": {"nodeAffinity": {}}}),
    ] {
        let reply = api.patch(&path, "application/merge-patch+json", &json!({"spec": change}));
        assert_eq!(reply.status, 422, "{change}: {}", reply.text);
    }
}

/// Pods of a workload are created by a controller in kube-system: its account is refused as well, and says why.
#[test]
fn workloads_are_no_way_around() {
    let api = cluster().admin();
    let name = namespace(api, &Namespace::new("isolated-workloads").isolated().node_selector("pool=a"));
    let template =
        json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let mut set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "a", "namespace": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "a"}}, "template": template}});
    api.create(&set).expect(201);
    let seen = acceptance::process::wait_until(std::time::Duration::from_secs(30), || {
        let conditions = api.read(&set).body["status"]["conditions"].clone();
        conditions.to_string().contains("need the node selector pool=a").then_some(())
    });
    assert!(seen.is_some(), "{}", api.read(&set).text);
    api.delete(&set);
    set["metadata"]["name"] = "b".into();
    set["spec"]["template"]["spec"]["nodeSelector"] = json!({"pool": "a"});
    api.create(&set).expect(201);
    let there = acceptance::process::wait_until(std::time::Duration::from_secs(30), || {
        (api.list("v1", "Pod", Some(&name)).len() == 1).then_some(())
    });
    assert!(there.is_some(), "{}", api.read(&set).text);
}
