//! The election of the replica that may write, on a real API server.

use std::time::Duration;

use acceptance::client::{Api, Namespace};
use acceptance::cluster::Cluster;
use serde_json::Value;
use spark_injector::cluster::lease::{Election, NAME, Terms};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

const TERMS: Terms = Terms {
    duration: Duration::from_secs(3),
    renew_deadline: Duration::from_secs(2),
    retry: Duration::from_millis(300),
};

/// Far above what an election takes on a busy machine.
const GENEROUS: Duration = Duration::from_secs(60);

struct Candidate {
    leads: watch::Receiver<bool>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn start(api: &Api, namespace: &str) -> Candidate {
    let (election, leads) = Election::new(api.kube(), namespace, TERMS);
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(election.run(async {
        drop(stopped.await);
    }));
    Candidate { leads, stop, task }
}

/// Waits for a leader, and takes it out. Never are there two.
async fn leader(candidates: &mut Vec<Candidate>) -> Candidate {
    let found = tokio::time::timeout(GENEROUS, async {
        loop {
            let leading: Vec<usize> =
                (0..candidates.len()).filter(|index| *candidates[*index].leads.borrow()).collect();
            assert!(leading.len() < 2, "{} leaders", leading.len());
            if let Some(index) = leading.first() {
                return *index;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    candidates.swap_remove(found.await.expect("a leader"))
}

fn lease(api: &Api, namespace: &str) -> Value {
    api.get(&format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{NAME}")).expect(200)
}

#[test]
fn one_replica_leads_and_another_follows_when_it_leaves_or_dies() {
    let api = Cluster::shared().admin();
    api.create_namespace(&Namespace::new("election"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut candidates: Vec<Candidate> = (0..5).map(|_| start(api, "election")).collect();

        let first = leader(&mut candidates).await;
        let held = tokio::task::block_in_place(|| lease(api, "election"));
        let holder = held["spec"]["holderIdentity"].as_str().expect("a holder").to_owned();
        assert_eq!(held["spec"]["leaseTransitions"], 1);
        // It leaves: the lease is free at once.
        drop(first.stop);
        first.task.await.expect("a quiet end");
        let released = tokio::task::block_in_place(|| lease(api, "election"));
        assert_ne!(released["spec"]["holderIdentity"], holder.as_str());

        // It dies: the lease expires.
        let second = leader(&mut candidates).await;
        second.task.abort();
        drop(second.task.await);
        let third = leader(&mut candidates).await;
        let held = tokio::task::block_in_place(|| lease(api, "election"));
        assert_eq!(held["spec"]["leaseTransitions"], 3, "{held}");
        assert_ne!(held["spec"]["holderIdentity"], holder.as_str());

        // Somebody deletes the lease and somebody else has it: the leader notices.
        let mut stolen = held.clone();
        stolen["spec"]["holderIdentity"] = "somebody-else".into();
        stolen["metadata"] = serde_json::json!({"name": NAME, "namespace": "election"});
        tokio::task::block_in_place(|| {
            assert_eq!(api.delete(&stolen).status, 200);
            api.apply(&stolen);
        });
        let mut leads = third.leads.clone();
        let lost = tokio::time::timeout(GENEROUS, leads.wait_for(|leads| !leads)).await;
        lost.expect("in time").expect("its candidate lives");
    });
}
