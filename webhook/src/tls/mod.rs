//! Certificates of our own in a cluster: one Secret that all replicas share, and the `caBundle` of our own webhook
//! configuration. Which step comes next is decided in the crate `certs`; here is what carries it out.
//!
//! Each replica looks at both objects once a minute and whenever a watch says that one has changed, and does the next
//! step by itself: no leader is needed. A watch only wakes; what is decided on is read from the API server anew, the
//! configuration first.

mod keeper;
mod objects;
mod restraint;
mod trouble;
mod wake;

pub use keeper::{Keeper, Settings};
pub use objects::Names;

/// Who we are in `managedFields`.
const FIELD_MANAGER: &str = "spark-injector";
