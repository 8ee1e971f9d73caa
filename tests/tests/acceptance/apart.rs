//! Two replicas in the middle of a roll-out, one of which has read a change of the profile that the other one has not, and
//! which name another tag of the init image; and a pod that meets both in one creation, because another team's webhook
//! changes it in between: it is admitted, and has all of one state of the profile and nothing of the other.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use acceptance::balancer::Balancer;
use acceptance::client::{Api, Namespace};
use acceptance::cluster::Cluster;
use acceptance::kubelet::INIT_CONTAINER;
use acceptance::process::wait_until;
use acceptance::recorder::Recorder;
use acceptance::registration::{Registered, Registration};
use acceptance::webhook::Webhook;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{driver, items, names, one_file};

const LABEL: (&str, &str) = ("acceptance/world", "apart");
const PATIENCE: Duration = Duration::from_secs(30);

fn namespaces() -> [Namespace; 2] {
    let with_label = |namespace: Namespace| namespace.label(LABEL.0, LABEL.1);
    [
        with_label(Namespace::new("apart-injected").opted_in()),
        with_label(Namespace::new("apart-isolated").isolated()),
    ]
}

/// A pod that is no business of Spark's.
fn plain(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "apart-isolated"},
           "spec": {"containers": [{"name": "main", "image": "notebook:1"}]}})
}

/// The profile in one of its states: the files are always the same.
fn state(name: &str) -> Value {
    let spec = json!({
        "namespaces": {"names": ["apart-injected", "apart-isolated"]},
        "nodeSelector": {"scope": "AllPods", "default": {"pool": name}},
        "files": one_file(),
        "common": {"template": {"spec": {"tolerations": [{"key": name, "operator": "Exists"}]}}},
    });
    json!({"apiVersion": "spark-injector.io/v1alpha1", "kind": "SparkProfile", "metadata": {"name": "apart"}, "spec": spec})
}

struct Replica {
    folder: TempDir,
    webhook: Webhook,
}

fn write(folder: &Path, profile: &str) {
    let objects: Vec<Value> = namespaces().iter().map(Namespace::object).chain([state(profile)]).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    std::fs::write(folder.join("all.new"), list.to_string()).expect("a file");
    std::fs::rename(folder.join("all.new"), folder.join("all.json")).expect("the file in its place");
}

impl Replica {
    fn start(profile: &str, image: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), profile);
        let webhook = Webhook::start(folder.path(), &["--poll", "50ms", "--init-image", image]);
        Self { folder, webhook }
    }

    fn address(&self) -> SocketAddr {
        self.webhook.review_address()
    }

    /// Reads another state of the profile, and is through with it.
    fn read(&self, profile: &str) {
        write(self.folder.path(), profile);
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "operation": "CREATE", "namespace": "apart-injected",
            "object": driver("apart-injected", "d")}});
        let knows = wait_until(PATIENCE, || {
            let answer = self.webhook.review(&review).expect(200);
            let patch = answer["response"]["patch"].as_str().unwrap_or_default();
            let patch = BASE64.decode(patch).expect("base64");
            String::from_utf8_lossy(&patch).contains(&format!("\"key\":\"{profile}\"")).then_some(())
        });
        assert!(knows.is_some(), "{}", self.webhook.log().join("\n"));
    }

    /// How often it has asked for patience.
    fn waits(&self) -> usize {
        self.webhook.log().iter().filter(|line| line.contains("revision_unknown")).count()
    }
}

/// The two replicas, and the webhook in between that sends the second call of a creation to the other one.
struct Stage {
    api: Api,
    ours: [Replica; 2],
    balancer: Arc<Balancer>,
    /// Who is called first, and who after the other webhook.
    way: Arc<Mutex<Option<[SocketAddr; 2]>>>,
    _registered: [Registered; 2],
    _recorder: Recorder,
}

impl Stage {
    fn start() -> Self {
        let api = Cluster::shared().admin().clone();
        for namespace in &namespaces() {
            api.create_namespace(namespace);
        }
        let ours =
            ["example.com/init-sync:1", "example.com/init-sync:2"].map(|image| Replica::start("0", image));
        let balancer = Arc::new(Balancer::start());
        balancer.add(ours[0].address(), None);
        let url = format!("https://{}/mutate", balancer.address());
        let authorities = ours.each_ref().map(|replica| replica.webhook.authority().certificate()).concat();
        // The replica that is behind has this long to catch up, on a busy machine too.
        let registration = Registration::new("apart", &url, &authorities).timeout(30);
        let registered = registration.only(LABEL.0, LABEL.1).register(&api);
        registered.wait("apart-injected");

        let way = Arc::<Mutex<Option<[SocketAddr; 2]>>>::default();
        let (table, next) = (Arc::clone(&balancer), Arc::clone(&way));
        let recorder = Recorder::start_with(move |review| {
            let pod = &review["request"]["object"];
            let changes = pod["metadata"]["labels"]["mesh"].is_null();
            let way = if changes { next.lock().unwrap_or_else(PoisonError::into_inner).take() } else { None };
            if let Some([first, second]) = way {
                // From another thread: what it wakes must not wait for this one, which is a worker of the runtime.
                std::thread::scope(|scope| scope.spawn(|| lead(&table, first, second)).join()).expect("led");
            }
            let labels = json!({"op": "add", "path": "/metadata/labels", "value": {"mesh": "on"}});
            let label = json!({"op": "add", "path": "/metadata/labels/mesh", "value": "on"});
            let has_labels = pod["metadata"]["labels"].is_object();
            changes.then(|| json!([if has_labels { label } else { labels }]))
        });
        // Called after ours: the API server goes by the names of the configurations.
        let other = recorder.registration("zzz-apart").only(LABEL.0, LABEL.1).register(&api);
        other.wait_for("apart-injected", |reply| reply.body["metadata"]["labels"]["mesh"] == "on");
        Self { api, ours, balancer, way, _registered: [registered, other], _recorder: recorder }
    }

    /// Creates a pod whose first call goes to one replica, and the second one to the other.
    fn create(&self, pod: &Value, [first, second]: [&Replica; 2]) -> Value {
        for replica in &self.ours {
            self.balancer.retire(replica.address());
            self.balancer.cut(replica.address());
        }
        std::thread::sleep(Duration::from_millis(200));
        self.balancer.add(first.address(), None);
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) = Some([first.address(), second.address()]);
        let reply = self.api.dry_run(pod);
        assert!(
            self.way.lock().unwrap_or_else(PoisonError::into_inner).is_none(),
            "not called twice: {}",
            reply.text
        );
        assert!(self.balancer.connections(second.address()).0 > 0, "the second call went elsewhere");
        reply.expect(201)
    }
}

/// New connections go to the second one from now on, and the first one has none any more.
fn lead(balancer: &Balancer, first: SocketAddr, second: SocketAddr) {
    balancer.retire(first);
    balancer.cut(first);
    balancer.add(second, None);
    let cut = wait_until(PATIENCE, || (balancer.connections(first).1 == 0).then_some(()));
    assert!(cut.is_some(), "a connection stays");
    // The API server has to notice as well, and says nothing when it does.
    std::thread::sleep(Duration::from_millis(200));
}

/// The pod has all of this state of the profile, and nothing of another one.
#[track_caller]
fn assert_whole(pod: &Value, profile: &str) {
    assert_eq!(pod["spec"]["nodeSelector"], json!({"pool": profile}), "{pod:#}");
    assert_eq!(pod["metadata"]["labels"]["mesh"], "on");
    if pod["metadata"]["namespace"] == "apart-injected" {
        let ours = items(&pod["spec"]["tolerations"]).iter();
        let ours: Vec<&Value> = ours
            .map(|toleration| &toleration["key"])
            .filter(|key| !key.as_str().is_some_and(|key| key.contains('/')))
            .collect();
        assert_eq!(ours, [profile], "{pod:#}");
        assert_eq!(names(&pod["spec"]["initContainers"]), [INIT_CONTAINER]);
    }
}

#[test]
fn a_pod_that_meets_two_replicas_in_one_creation_is_not_refused() {
    let stage = Stage::start();
    let [behind, ahead] = &stage.ours;
    for (last, pod) in [driver("apart-injected", "d"), plain("p")].into_iter().enumerate() {
        let (old, new) = (last.to_string(), (last + 1).to_string());
        ahead.read(&new);
        let asked = behind.waits();

        // From the one that is behind to the one that is ahead: that one knows what was right a moment ago.
        assert_whole(&stage.create(&pod, [behind, ahead]), &old);
        assert_eq!((behind.waits(), ahead.waits()), (asked, 0));

        // The other way round: asked again, once it has caught up.
        let stored = std::thread::scope(|scope| {
            scope.spawn(|| {
                let again = wait_until(PATIENCE, || (behind.waits() > asked).then_some(()));
                assert!(again.is_some(), "{}", behind.webhook.log().join("\n"));
                behind.read(&new);
            });
            stage.create(&pod, [ahead, behind])
        });
        assert_whole(&stored, &new);
        assert!(behind.waits() > asked && ahead.waits() == 0, "the one that is behind asks for patience");
    }
}
