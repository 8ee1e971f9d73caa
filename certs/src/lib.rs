//! TLS credentials of the webhook: what is served, how it is made, checked, and replaced while serving.
//!
//! ```text
//! files:  certificate + key ──Pair::load──▶ Credentials (a ready rustls configuration, validity)
//!                 └──────── Reloader::poll, by content ──▶ Unchanged | Loaded | Refused (the old pair stays)
//!
//! own:    Secret ──Stored────┐
//!         configuration ─────┼─▶ Rules::next ──▶ store | publish | wait      what all replicas share
//!             Published, ────┴─▶ Shown::adopt ─▶ the leaf that is served     what each of them does
//!             Sightings
//! ```
//!
//! No clock, no IO but for the files of a pair and of client authorities, no logging, no process-wide crypto provider: the caller passes the
//! time, carries out the steps and reports the events. Key material never reaches an error text.

mod authority;
mod bundle;
mod certificate;
mod client;
mod crypto;
mod error;
mod handshake;
mod issuer;
mod key;
mod leaf;
mod pair;
mod published;
mod reload;
mod rotation;
mod shown;
mod stored;

pub use authority::Authority;
pub use bundle::Bundle;
pub use certificate::Certificate;
pub use client::{ClientAuthorities, ClientBundle, client_names};
pub use crypto::crypto;
pub use error::Error;
pub use handshake::{Handshake, Protocols};
pub use issuer::{Issuer, read_bundle};
pub use leaf::Leaf;
pub use pair::{Credentials, Pair};
pub use published::{Entry, Published, Sightings};
pub use reload::{Event, Reloader};
pub use rotation::{LOOK_EVERY, Rules, Step, View};
pub use shown::{Shown, Trouble};
pub use stored::{Data, Stored};
