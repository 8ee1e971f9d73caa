//! TLS credentials of the webhook: what is served, loaded from PEM files, checked, and replaced while serving.
//!
//! ```text
//! certificate + key files ──Pair::load──▶ Credentials (a ready rustls configuration, validity)
//!            └──────────── Reloader::poll, by content ──▶ Unchanged | Loaded | Refused (the old pair stays)
//! ```
//!
//! No clock of its own, no logging, no process-wide crypto provider: the caller passes the time and reports the
//! events. Key material never reaches an error text.

mod error;
mod pair;
mod reload;

pub use error::Error;
pub use pair::{Credentials, Pair, Protocols};
pub use reload::{Event, Reloader};
