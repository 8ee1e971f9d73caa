//! The commands as a black box: what they write where, and how they end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod arguments;
mod explain;
mod folder;
mod inject;
mod unusable;
mod validate;
