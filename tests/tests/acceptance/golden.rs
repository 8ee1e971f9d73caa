//! What each recorded pod becomes: the whole pod, as a file that people review.
//!
//! `posted` holds the bodies as Spark posts them (workloads included), `presented` the pods as the API server presents
//! them to the webhook, with everything that it sets before it calls; both with files by Secret. `posted-env` holds
//! some of them with files in the environment.

use acceptance::client::Namespace;
use acceptance::cluster::Cluster;
use acceptance::pods::{Fixture, fixtures};
use acceptance::recorder::Recorder;
use acceptance::webhook::Webhook;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::golden_files::GoldenFiles;
use crate::pods::INVALID;
use crate::world::{bundle, items};

const NAMESPACE: &str = "golden-secret";

/// Not the default, which ends with the version: a release would change every file.
const IMAGE: [&str; 2] = ["--init-image", "example.com/init-sync:golden"];

/// `inject` on the bundle: the result in YAML, or why not.
fn inject(namespace: &str, object: &Value, output: &str) -> Result<String, String> {
    let bundle = bundle();
    let from = bundle.to_str().expect("a path in UTF-8");
    let args = ["inject", "--from", from, "--namespace", namespace, "-o", output, IMAGE[0], IMAGE[1]];
    let finished = acceptance::cli::run(&args, object.to_string().as_bytes());
    if finished.status == 0 { Ok(finished.stdout) } else { Err(finished.stderr) }
}

/// The body as posted, but for the namespace that some of them name: Spark's user chose it.
fn posted(fixture: Fixture, namespace: &str) -> (String, Value) {
    let Fixture { name, mut object, .. } = fixture;
    if let Some(own) = object["metadata"].get_mut("namespace") {
        *own = namespace.into();
    }
    (name, object)
}

fn compare(folder: &str, namespace: &str, objects: impl IntoIterator<Item = (String, Value)>) {
    let mut files = GoldenFiles::new(folder);
    for (name, object) in objects {
        match inject(namespace, &object, "yaml") {
            Ok(text) => files.check(&name, &text),
            Err(why) => files.problem(format!("{name}: {why}")),
        }
    }
    files.finish();
}

#[test]
fn golden_pods_as_posted() {
    compare("posted", NAMESPACE, fixtures().into_iter().map(|fixture| posted(fixture, NAMESPACE)));
}

#[test]
fn golden_pods_with_files_in_the_environment() {
    let chosen = |fixture: &Fixture| {
        matches!(fixture.variant.as_str(), "" | "template" | "statefulset" | "deployment")
    };
    let namespace = "golden-env";
    let chosen = fixtures().into_iter().filter(chosen);
    compare("posted-env", namespace, chosen.map(|fixture| posted(fixture, namespace)));
}

#[test]
fn golden_pods_as_the_api_server_presents_them() {
    let webhook = Webhook::start(&bundle(), &IMAGE);
    let reviews = reviews();
    let mut objects = Vec::new();
    for (fixture, review) in reviews {
        // The webhook's patch on what it was really sent, by a second engine, makes what `inject` prints.
        let mut patched = review["request"]["object"].clone();
        let answer = webhook.review(&review).expect(200);
        let patch =
            answer["response"]["patch"].as_str().unwrap_or_else(|| panic!("{}: {answer}", fixture.name));
        let patch = BASE64.decode(patch).expect("base64");
        let patch: json_patch::Patch = serde_json::from_slice(&patch).expect("a patch");
        json_patch::patch(&mut patched, &patch).expect("a patch that applies");
        let printed = inject(NAMESPACE, &review["request"]["object"], "json").expect("injected");
        assert_eq!(serde_json::from_str::<Value>(&printed).expect("JSON"), patched, "{}", fixture.name);

        objects.push((fixture.name, without_chance(review["request"]["object"].clone())));
    }
    compare("presented", NAMESPACE, objects);
}

/// The reviews that a real API server makes of the recorded pods.
fn reviews() -> Vec<(Fixture, Value)> {
    let api = Cluster::shared().admin();
    let scope = ("acceptance/world", "golden");
    api.create_namespace(
        &Namespace::new(NAMESPACE).opted_in().label(scope.0, scope.1).node_selector("pool=spark"),
    );
    for account in ["spark", "spark-exec"] {
        api.create_service_account(NAMESPACE, account);
    }
    api.apply_priority_class("batch-high", 1000);
    let recorder = Recorder::start();
    let registered = recorder.registration("golden").only(scope.0, scope.1).register(api);
    registered.wait_for(NAMESPACE, |_| !recorder.reviews().is_empty());
    let valid = fixtures().into_iter().filter(|fixture| !INVALID.contains(&fixture.name.as_str()));
    valid
        .map(|fixture| {
            let review = recorder.review_of(api, &fixture.pod(NAMESPACE));
            (fixture, review)
        })
        .collect()
}

/// The pod without what differs from run to run, and without the bookkeeping that is longer than the pod.
fn without_chance(mut pod: Value) -> Value {
    let token = items(&pod["spec"]["volumes"])
        .iter()
        .filter_map(|volume| volume["name"].as_str())
        .find(|name| name.starts_with("kube-api-access-"))
        .expect("a token volume")
        .to_owned();
    let metadata = pod["metadata"].as_object_mut().expect("metadata");
    for field in ["managedFields", "creationTimestamp", "uid"] {
        metadata.remove(field);
    }
    let text = pod.to_string().replace(&token, "kube-api-access-xxxxx");
    serde_json::from_str(&text).expect("the same object")
}
