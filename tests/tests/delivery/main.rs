//! The delivery of Secrets on a real API server with controllers, as the account that the manifests give to the injector
//! and behind the policies that fence it.
//!
//! | module | proves |
//! | --- | --- |
//! | [`everywhere`] | that every namespace gets its Secrets, and loses them when it should |
//! | [`refused`] | that a namespace which takes nothing is named, and holds nobody back |
//! | [`leaders`] | that nothing is lost when the leader dies, or when nobody looked |
//! | [`outage`] | that nothing is lost when the API server goes in the middle, and nobody has to restart |
//! | [`revisions`] | when pods are given a new revision, and when the old one goes |
//! | [`processes`] | the same of `spark-injector serve` |
//! | [`traces`] | what is left of all this in logs, and what is not |
//! | [`whole`] | the same of the whole installation, in every delivery, and what it asks of the API server |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod everywhere;
mod leaders;
mod outage;
mod processes;
mod refused;
mod revisions;
mod traces;
mod whole;
mod world;
