//! The custom resource `SparkProfile`: its types, its schema, and the words of the public contract.
//!
//! Nothing here knows how a profile is compiled or applied.

pub mod crd;
pub mod names;
pub mod profile;
pub mod template;

pub use profile::*;
