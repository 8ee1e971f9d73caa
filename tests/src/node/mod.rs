//! A real node: kubelet, containerd, runc, a network bridge and kube-proxy beside the control plane, all in namespaces of
//! their own on this machine. What is installed runs here as the pods that it says it is, and Spark jobs run to their
//! end. `make node` plays it; it needs root and the control groups of version 1.
//!
//! | module | owns |
//! | --- | --- |
//! | [`machine`] | whether this machine can be a node, and the way into namespaces where it is one |
//! | [`running`] | the node's processes, their settings and their end |
//! | [`seen`] | what the node shows of pods: logs, processes, states of containers |
//! | [`install`] | scene: `kubectl apply -k` of what is shipped |
//! | [`jobs`] | scene: Spark jobs, and which files their processes see |
//! | [`spoilt`] | scenes: files that are not what was meant, files that are written again |
//! | [`cost`] | scene: what a pod pays |
//! | [`restarts`] | scenes: replicas that come and go while pods are created |
//! | [`checked`] | scenes: what `spark-injector check` says of all this |

pub mod checked;
pub mod cost;
pub mod install;
pub mod jobs;
pub mod machine;
pub mod restarts;
pub mod running;
pub mod seen;
pub mod spoilt;

mod settings;
