//! Where the inputs of a catalog come from. A source reads everything it is given into a
//! [`Snapshot`](crate::catalog::Snapshot) and says what it could not use; what the rest means is the compiler's part.
//!
//! `cluster` watches an API server. `directory` walks files, `document` parses them, `objects` sorts their objects into a
//! snapshot and `entries` reads what they hold, `files_root` adds the directories that profiles name, and `watch` does all
//! of it again when `digest` says that something changed. What is compiled from a snapshot goes into `live`, from where
//! everybody else reads it.

pub mod cluster;
pub mod collected;
mod digest;
pub mod directory;
pub mod document;
mod entries;
mod files_root;
pub mod live;
mod objects;
mod references;
pub mod reload;
pub mod watch;
