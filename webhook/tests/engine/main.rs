//! Tests of the engine: the compiler from a snapshot to a catalog, and the way of one request from bytes to bytes.
//!
//! One binary, so that it links once. `support` builds worlds and pods; `rules` has a module for each merge rule,
//! `compiler` one for each stage of the compiler, `node_selector` and `isolation` the
//! rules about where pods run, `properties` generates pods and profiles.

// A helper that cannot go on fails its test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod compiler;
mod isolation;
mod node_selector;
mod properties;
mod rfc6902;
mod rules;
mod support;
