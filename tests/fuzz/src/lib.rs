//! What holds for any input, hostile or broken: one function per place where somebody else's bytes come in.
//!
//! `libfuzzer/` feeds them what a fuzzer invents, `tests/corpus.rs` what it once found worth keeping.

// A property that does not hold says so by panicking.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod manifest;
mod profile;
mod review;

pub use manifest::manifest;
pub use profile::profile;
pub use review::review;
