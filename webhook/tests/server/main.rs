//! The server as its callers meet it: a real process, real TLS, and HTTP written by hand where a client library would
//! be too polite to send what is tested.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod answers;
mod client;
mod life;
mod limits;
mod local;
mod process;
mod reload;
mod requests;
mod waiting;
