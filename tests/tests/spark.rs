//! Real Spark reaches the API server of the harness: without it, no test of "Spark itself made this pod" means
//! anything. No webhook here.

use acceptance::client::Namespace;
use acceptance::cluster::Cluster;
use acceptance::spark::{client_mode_executors, submit_driver};
use serde_json::json;

#[test]
fn spark_submit_makes_a_driver_pod() {
    let cluster = Cluster::shared();
    cluster.admin().create_namespace(&Namespace::new("spark-driver"));
    let run = submit_driver(cluster, "spark-driver", &[("spark.kubernetes.driver.label.team", "a")]);
    eprintln!("spark-submit took {:.1} s", run.took.as_secs_f64());
    assert_eq!(run.status, Some(0), "{}", run.output);
    assert_eq!(run.pods.len(), 1, "{}", run.output);
    let driver = &run.pods[0];
    assert_eq!(driver["metadata"]["labels"]["team"], "a");
    assert_eq!(driver["spec"]["serviceAccountName"], "spark");
    assert_eq!(driver["spec"]["containers"][0]["args"][0], "driver");
}

#[test]
fn a_refused_driver_is_reported() {
    let cluster = Cluster::shared();
    let api = cluster.admin();
    api.create_namespace(&Namespace::new("spark-refused"));
    // Not a ResourceQuota: the API server enforces one only after a controller has filled its status.
    let limit = json!({"type": "Container", "max": {"memory": "512Mi"}});
    api.apply(&json!({"apiVersion": "v1", "kind": "LimitRange",
                      "metadata": {"name": "small", "namespace": "spark-refused"}, "spec": {"limits": [limit]}}));
    let run = submit_driver(cluster, "spark-refused", &[]);
    assert_eq!((run.status, run.pods.len()), (Some(1), 0), "{}", run.output);
    assert!(run.output.contains("maximum memory usage per Container is 512Mi"), "{}", run.output);
}

#[test]
fn a_client_mode_driver_makes_executor_pods() {
    let cluster = Cluster::shared();
    cluster.admin().create_namespace(&Namespace::new("spark-executors"));
    let run = client_mode_executors(cluster, "spark-executors", 2, &[]);
    eprintln!("two executors took {:.1} s", run.took.as_secs_f64());
    assert_eq!(run.status, None, "{}", run.output);
    assert_eq!(run.pods.len(), 2, "{}", run.output);
    for executor in &run.pods {
        assert_eq!(executor["spec"]["containers"][0]["args"], json!(["executor"]));
        assert!(executor["metadata"]["ownerReferences"].is_null());
    }
}
