//! Acceptance tests and the demo, on the real thing: an API server of our own, the built binaries, real Spark.
//!
//! | module | owns |
//! | --- | --- |
//! | [`cluster`] | one control plane (etcd, kube-apiserver, controllers) on loopback, its outages and its end |
//! | [`balancer`] | what kube-proxy does for the replicas of a Service |
//! | [`chaos`] | faults and load: what the replicas promise while the API server goes on |
//! | [`client`] | requests to it as plain JSON, with status, body and warnings in sight; a blocking interface |
//! | [`relay`] | an API server of which one object is never answered |
//! | [`registration`] | the webhook configuration, and waiting until it is in effect |
//! | [`witness`] | what is published and served, looked at all the time |
//! | [`webhook`], [`cli`] | the built `spark-injector`, as a server and as a command line |
//! | [`recorder`] | a webhook that allows everything and remembers what the API server sent |
//! | [`installed`] | what is installed, run as its pods say, behind its Service |
//! | [`kubelet`] | what a kubelet would make of a pod: environment, `init-sync` run, mounts |
//! | [`node`] | a kubelet and a container runtime for the cluster: what runs there is real |
//! | [`leased`] | files that hang whoever opens them |
//! | [`manifests`] | what is installed, as kustomize renders it |
//! | [`pods`] | pods as real Spark sent them, and what a workload controller makes of a template |
//! | [`spark`] | real Spark against the cluster: the driver by `spark-submit`, executors by a client-mode driver |
//! | [`scratch`] | temporary directories that go with their owner |
//! | [`places`] | where binaries and caches are; the one reader of the environment |
//!
//! A test needs no `async` and no set-up of its own:
//!
//! ```no_run
//! use acceptance::{cluster::Cluster, client::Namespace};
//! use serde_json::json;
//!
//! let api = Cluster::shared().admin();
//! api.create_namespace(&Namespace::new("team-a").opted_in());
//! let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "team-a"},
//!                  "spec": {"containers": [{"name": "c", "image": "i"}]}});
//! assert_eq!(api.create(&pod).status, 201);
//! ```
//!
//! What this crate must not do: compute what the webhook should answer. Expected values stand in the tests.

// A harness that cannot set up its world has nothing to return: the panic is the message, at the failing line.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::print_stderr
)]

pub mod balancer;
pub mod chaos;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod expansion;
pub mod installed;
pub mod kubelet;
pub mod leased;
pub mod manifests;
pub mod node;
pub mod places;
pub mod pods;
pub mod process;
pub mod recorder;
pub mod registration;
pub mod relay;
pub mod scratch;
pub mod spark;
pub mod webhook;
pub mod witness;

mod janitor;
mod pki;
mod runtime;

pub use pki::{Authority, Identity};
