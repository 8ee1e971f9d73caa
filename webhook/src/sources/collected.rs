//! Objects that somebody has read already, as a snapshot.

use serde_json::Value;

use super::directory::Load;
use super::objects::Collector;

/// Sorts objects, or lists of them, into a snapshot. ConfigMaps and Secrets that name no namespace are in `own`.
pub fn collect(documents: &[Value], own: &str) -> Load {
    let mut collector = Collector::new(own);
    for document in documents {
        collector.take("", document);
    }
    let Collector { snapshot, problems, warnings, .. } = collector;
    Load { snapshot, problems, warnings, files: 0, digest: [0; 32] }
}
