//! What is installed: the manifests as kustomize renders them, and what they do on a real API server with RBAC and
//! controllers, as the accounts that they name.
//!
//! | module | proves |
//! | --- | --- |
//! | [`webhook`] | which pods the API server asks about, and how |
//! | [`workload`] | that roll-outs, drains and faults leave replicas that serve |
//! | [`rights`] | what the injector's account may do, and what it cannot even see by an error message |
//! | [`policies`], [`placement`] | who is refused by the policies, with which sentence |
//! | [`operated`] | that nothing of ours takes back what people do to an installation |
//! | [`install`] | that everything can be applied, again and again |
//! | [`scheduled`] | the check as a `CronJob`: an installation that holds, and each link broken |
//! | [`alerts`] | that alerts ask for metrics which somebody has |
//! | [`images`] | that the archives are images as the Dockerfile says |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

mod alerts;
mod images;
mod install;
mod operated;
mod placement;
mod policies;
mod rights;
mod scheduled;
mod site;
mod webhook;
mod workload;
mod world;
