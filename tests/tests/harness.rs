//! The harness itself: if these fail, no other acceptance test means anything.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acceptance::balancer::Balancer;
use acceptance::client::Namespace;
use acceptance::cluster::{Audit, Cluster, ClusterOptions};
use acceptance::kubelet;
use acceptance::pods::{fixture, fixtures};
use acceptance::process::{Process, is_alive, wait_until};
use acceptance::recorder::Recorder;
use acceptance::registration::WEBHOOK_NAME;
use serde_json::{Value, json};

fn plain_pod(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
           "spec": {"containers": [{"name": "main", "image": "busybox"}]}})
}

#[test]
fn a_plain_pod_is_created_read_and_deleted() {
    let api = Cluster::shared().admin();
    api.create_namespace(&Namespace::new("harness-plain"));
    let pod = plain_pod("harness-plain", "one");

    assert_eq!(api.dry_run(&pod).status, 201);
    assert_eq!(api.read(&pod).status, 404);
    let created = api.create(&pod).expect(201);
    assert_eq!(created["spec"]["serviceAccountName"], "default");
    assert_eq!(api.create(&pod).status, 409);
    assert_eq!(api.list("v1", "Pod", Some("harness-plain")).len(), 1);
    assert_eq!(api.delete(&pod).status, 200);
    assert_eq!(api.read(&pod).status, 404);

    let invalid = api.create(&plain_pod("harness-plain", "Not_A_Name"));
    assert_eq!(invalid.status, 422);
    assert!(invalid.message().contains("RFC 1123"), "{}", invalid.message());
}

#[test]
fn users_have_only_what_they_were_given() {
    let cluster = Cluster::shared();
    let api = cluster.admin();
    api.create_namespace(&Namespace::new("harness-rbac"));
    let pods = "/api/v1/namespaces/harness-rbac/pods";
    assert_eq!(cluster.as_user("somebody", None).get(pods).status, 403);

    let by_token = cluster.as_token(&api.token("harness-rbac", "default"));
    let refusal = by_token.get(pods);
    assert_eq!(refusal.status, 403);
    assert!(
        refusal.message().contains("system:serviceaccount:harness-rbac:default"),
        "{}",
        refusal.message()
    );
}

#[test]
fn kubectl_works_with_the_kubeconfig() {
    let output = Cluster::shared().kubectl(&["version", "-o", "json"]);
    let versions: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(versions["serverVersion"]["gitVersion"], versions["clientVersion"]["gitVersion"]);
}

#[test]
fn the_recorder_sees_what_the_api_server_sends() {
    let api = Cluster::shared().admin();
    let scope = ("harness/recorder", "yes");
    api.create_namespace(&Namespace::new("harness-recorder").opted_in().label(scope.0, scope.1));
    let recorder = Recorder::start();
    let registered = recorder.registration("harness-recorder").only(scope.0, scope.1).register(api);
    registered.wait_for("harness-recorder", |_| !recorder.reviews().is_empty());

    let review = recorder.review_of(api, &fixture("spark-4.3.0-driver").pod_as_default("harness-recorder"));
    let request = &review["request"];
    assert_eq!(request["dryRun"], true);
    assert_eq!(request["operation"], "CREATE");
    assert!(request["object"]["metadata"]["managedFields"].is_array(), "{request}");
    assert_eq!(request["object"]["spec"]["priority"], 0);
    let mounts = &request["object"]["spec"]["containers"][0]["volumeMounts"];
    assert!(mounts.to_string().contains("kube-api-access-"), "{mounts}");

    let warned = api.dry_run(&json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "w", "namespace": "harness-recorder"},
        "spec": {"containers": [{"name": "c", "image": "i", "unknownField": 1}]}}));
    assert_eq!(warned.warnings, [r#"unknown field "spec.containers[0].unknownField""#]);

    // Named by a fixture; without it, the API server refuses before it asks any webhook.
    api.apply_priority_class("batch-high", 1000);
    let mut refused = Vec::new();
    for fixture in fixtures() {
        let pod = fixture.pod_as_default("harness-recorder");
        let review = recorder.review_of(api, &pod);
        assert_eq!(
            review["request"]["object"]["metadata"]["labels"]["spark-role"], fixture.role,
            "{}",
            fixture.name
        );
        if api.dry_run(&pod).status != 201 {
            refused.push(fixture.name);
        }
    }
    // Spark 2.4 adds the user's spark-local-dir-1 volume a second time; no webhook makes such a pod valid.
    assert_eq!(refused, ["spark-2.4.8-driver-kitchen", "spark-2.4.8-executor-kitchen"]);
}

#[test]
fn a_webhook_that_is_gone_refuses_in_its_name() {
    let api = Cluster::shared().admin();
    let scope = ("harness/gone", "yes");
    api.create_namespace(&Namespace::new("harness-gone").opted_in().label(scope.0, scope.1));
    let recorder = Recorder::start();
    let registered = recorder.registration("harness-gone").only(scope.0, scope.1).register(api);
    drop(recorder);
    registered.wait("harness-gone");
    let reply = api.create(&plain_pod("harness-gone", "one"));
    assert_eq!(reply.status, 500);
    assert!(reply.message().contains(WEBHOOK_NAME), "{}", reply.message());
}

#[test]
fn a_recorder_can_patch() {
    let api = Cluster::shared().admin();
    let scope = ("harness/patch", "yes");
    api.create_namespace(&Namespace::new("harness-patch").opted_in().label(scope.0, scope.1));
    let patch = json!([{"op": "add", "path": "/metadata/annotations", "value": {"patched": "yes"}}]);
    let recorder = Recorder::start_with(move |_| Some(patch.clone()));
    let registered = recorder.registration("harness-patch").only(scope.0, scope.1).register(api);
    registered.wait_for("harness-patch", |reply| reply.body["metadata"]["annotations"]["patched"] == "yes");
}

#[test]
fn the_environment_is_resolved_as_a_kubelet_does() {
    let api = Cluster::shared().admin();
    api.create_namespace(&Namespace::new("harness-env"));
    api.apply_secret("harness-env", "payload", &[("etl.keytab", b"a2V5dGFi")]);
    api.apply_config_map("harness-env", "settings", &[("region", "eu")]);
    let mut pod = plain_pod("harness-env", "one");
    pod["spec"]["containers"][0]["envFrom"] =
        json!([{"prefix": "cfg_", "configMapRef": {"name": "settings"}}]);
    pod["spec"]["containers"][0]["env"] = json!([
        {"name": "etl.keytab", "valueFrom": {"secretKeyRef": {"name": "payload", "key": "etl.keytab"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "BOTH", "value": "$(POD)-$(cfg_region)-$(LATER)-$$(POD)"},
        {"name": "LATER", "value": "x"},
        {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "k", "optional": true}}},
    ]);
    let pod = api.create(&pod).expect(201);

    let environment = kubelet::environment(&pod, "main", api).expect("everything is there");
    let expected = [
        ("BOTH", "one-eu-$(LATER)-$(POD)"),
        ("LATER", "x"),
        ("POD", "one"),
        ("cfg_region", "eu"),
        ("etl.keytab", "a2V5dGFi"),
    ];
    let seen: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(seen, expected);
    let error = kubelet::environment(&pod, "main", [].as_slice()).expect_err("nothing is there");
    assert_eq!(error, "configmap \"settings\" not found");
}

#[test]
fn options_take_effect_and_nothing_stays_behind() {
    let options = ClusterOptions {
        pod_node_selector: true,
        audit: Audit::Whole,
        identify_to_webhooks: true,
        ..ClusterOptions::default()
    };
    let begin = Instant::now();
    let cluster = Cluster::start_with(&options);
    eprintln!("control plane ready after {:.1} s", begin.elapsed().as_secs_f64());
    let api = cluster.admin();
    api.create_namespace(&Namespace::new("team-a").node_selector("pool=a"));
    let pod = api.create(&plain_pod("team-a", "one")).expect(201);
    assert_eq!(pod["spec"]["nodeSelector"], json!({"pool": "a"}));
    let audited = |event: &Value| event["objectRef"]["resource"] == "pods" && event["verb"] == "create";
    let found = wait_until(Duration::from_secs(5), || cluster.audit_log().into_iter().find(audited));
    assert_eq!(found.expect("an audit event")["responseStatus"]["code"], 201);

    // The API server reaches this one only if it shows its certificate.
    api.create_namespace(&Namespace::new("team-b").opted_in());
    let recorder = Recorder::start_for(cluster.authority());
    let registered = recorder.registration("identified").register(api);
    registered.wait_for("team-b", |reply| reply.status == 201 && !recorder.reviews().is_empty());
    drop(registered);

    let (ids, directory) = (cluster.process_ids(), cluster.directory().to_path_buf());
    assert!(ids.iter().all(|id| is_alive(*id)));
    let begin = Instant::now();
    drop(cluster);
    eprintln!("control plane gone after {:.1} s", begin.elapsed().as_secs_f64());
    assert!(!ids.iter().any(|id| is_alive(*id)));
    assert!(std::env::var_os("KEEP").is_some() || !directory.exists());
}

#[test]
fn controllers_make_the_cluster_behave_as_any_other() {
    let options = ClusterOptions { controller_manager: true, ..ClusterOptions::default() };
    let begin = Instant::now();
    let cluster = Cluster::start_with(&options);
    eprintln!("control plane with controllers ready after {:.1} s", begin.elapsed().as_secs_f64());
    let api = cluster.admin();
    let within = Duration::from_secs(30);

    api.create(&Namespace::new("team-a").object()).expect(201);
    let account = "/api/v1/namespaces/team-a/serviceaccounts/default";
    assert!(wait_until(within, || (api.get(account).status == 200).then_some(())).is_some());
    let pods = "/api/v1/namespaces/team-a/pods";
    let reader = cluster.service_account("team-a", "default");
    assert_eq!(reader.get(pods).status, 403);
    // `view` is an aggregated role: empty until a controller fills it.
    api.create(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "reader", "namespace": "team-a"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "team-a"}]}))
        .expect(201);
    assert!(wait_until(within, || (reader.get(pods).status == 200).then_some(())).is_some());

    let metadata = json!({"labels": {"app": "a"}});
    let template = json!({"metadata": metadata, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "a", "namespace": "team-a"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "template": template}});
    api.create(&deployment).expect(201);
    let count = |wanted: usize| {
        wait_until(within, || (api.list("v1", "Pod", Some("team-a")).len() == wanted).then_some(())).is_some()
    };
    assert!(count(2));
    api.delete(&deployment);
    assert!(count(0), "nobody collects the garbage");

    assert_eq!(api.delete(&Namespace::new("team-a").object()).status, 200);
    assert!(
        wait_until(within, || (api.get("/api/v1/namespaces/team-a").status == 404).then_some(())).is_some()
    );
}

#[test]
fn a_control_plane_comes_back_with_its_data() {
    let mut cluster = Cluster::start();
    let pods = "/api/v1/namespaces/kept/pods";
    cluster.admin().create_namespace(&Namespace::new("kept"));
    cluster.admin().create(&plain_pod("kept", "one")).expect(201);
    let [_, server] = cluster.process_ids();

    cluster.kill_api_server();
    assert!(!is_alive(server));
    assert!(cluster.admin().send("GET", pods, "", Vec::new()).is_err());
    cluster.start_api_server();
    assert_eq!(cluster.admin().get(pods).body["items"].as_array().map(Vec::len), Some(1));

    cluster.kill_etcd();
    cluster.start_etcd();
    assert_eq!(cluster.admin().get(pods).body["items"].as_array().map(Vec::len), Some(1));

    let old = cluster.admin().get("/api/v1/namespaces/kept").body;
    cluster.admin().create(&plain_pod("kept", "two")).expect(201);
    cluster.compact_etcd();
    // Straight to the store: the API server's cache still has the history.
    let version = old["metadata"]["resourceVersion"].as_str().expect("a version");
    let asked = format!("{pods}?limit=1&resourceVersion={version}&resourceVersionMatch=Exact");
    let reply = cluster.admin().get(&asked);
    assert_eq!(reply.status, 410, "{}", reply.text);
}

#[test]
fn a_balancer_takes_turns_and_spares_what_is_not_ready() {
    let servers = ["a", "b"].map(|name| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Says who it is, then holds the connection until the other side ends it.
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let _ = stream.write_all(name.as_bytes()).and_then(|()| stream.read(&mut [0]));
                });
            }
        });
        address
    });
    let balancer = Balancer::start();
    let connect = || {
        let mut stream = TcpStream::connect(balancer.address()).expect("the balancer listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let mut name = [0; 1];
        stream.read_exact(&mut name).ok().map(|()| (char::from(name[0]), stream))
    };
    assert!(connect().is_none(), "nobody is there to answer");
    assert_eq!(balancer.refused(), 1);

    for address in servers {
        balancer.add(address, None);
    }
    let held: Vec<_> = (0..4).map(|_| connect().expect("an answer")).collect();
    assert_eq!(held.iter().filter(|(name, _)| *name == 'a').count(), 2);
    assert_eq!(balancer.connections(servers[1]), (2, 2));

    balancer.retire(servers[0]);
    assert_eq!(connect().map(|(name, _)| name), Some('b'));
    // What an endpoint has, it keeps while it is terminating.
    assert_eq!(balancer.connections(servers[0]), (2, 2));
    balancer.cut(servers[0]);
    for (_, stream) in held.iter().filter(|(name, _)| *name == 'a') {
        assert_eq!((&*stream).read(&mut [0]).ok(), Some(0));
    }
}

#[test]
fn children_die_with_a_process_that_is_killed() {
    let mut helper = Command::new(std::env::current_exe().expect("this test binary"))
        .args(["--exact", "helper_that_holds_a_child", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a copy of this test binary");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(helper.stdout.take().expect("a pipe")));
    let id: u32 = lines
        .find_map(|line| line.ok()?.split("child ").nth(1)?.trim().parse().ok())
        .expect("the id of the helper's child");
    assert!(is_alive(id));
    helper.kill().expect("SIGKILL");
    helper.wait().expect("its end");
    let gone = wait_until(Duration::from_secs(5), || (!is_alive(id)).then_some(()));
    assert!(gone.is_some(), "process {id} outlived its owner");
}

#[test]
#[ignore = "a helper: children_die_with_a_process_that_is_killed runs it in a process of its own"]
fn helper_that_holds_a_child() {
    let mut command = Command::new("sleep");
    command.arg("60");
    let mut child = Process::spawn("sleep", &command, Stdio::null(), Stdio::null());
    println!("child {}", child.id());
    child.wait(Duration::from_secs(60));
}
