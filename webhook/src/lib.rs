//! The engine of spark-injector and the shells around it.
//!
//! ```text
//! sources ──Snapshot──▶ catalog::compile ──Catalog (immutable, swapped whole)──┐
//!                                                                              ▼
//! server, cli ──bytes──▶ admit: review → decide → merge → patch → outcome ──▶ Answer
//! ```
//!
//! Dependencies point inward: [`args`], [`cli`], [`cluster`], [`deliver`], [`server`], [`sources`], [`status`] and [`tls`]
//! do the IO; [`catalog`] and [`admit`] are pure (no IO, no clock, no environment); [`api`] holds the custom resource. The contract with the init container
//! lives in the crate `init-sync`, because both sides must agree on it byte for byte.

pub mod admit;
pub mod api;
pub mod args;
pub mod catalog;
pub mod cli;
pub mod cluster;
pub mod deliver;
pub mod server;
pub mod sources;
pub mod status;
mod text;
pub mod tls;
