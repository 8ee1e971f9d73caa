//! Certificates that the replicas make and publish by themselves, and files that somebody else replaces.
//!
//! | module | proves |
//! | --- | --- |
//! | [`start`] | replicas that start at one moment agree, with the rights and under the policies that are shipped |
//! | [`rotation`] | authorities and leaves that are replaced every few seconds cost no pod |
//! | [`hands`] | what people and their tools do to Secret and configuration is repaired, and nothing else is touched |
//! | [`files`] | a pair of files that is replaced as cert-manager and the kubelet do it |
//!
//! [`acceptance::witness`] looks all the time at what is published and what is served.

mod files;
mod hands;
mod replicas;
mod rotation;
mod start;
