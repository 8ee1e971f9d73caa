//! The two protocols, from variables to published files. What they say on the way out is the report's.

use std::fmt;
use std::path::Path;

use init_sync::digest::fingerprint;
use init_sync::{EMPTY_FILE_MODE, Entry, Exit, MANIFEST_VARIABLE, Manifest, normalise};

use crate::kernel::Kernel;
use crate::payload::{Payload, Variables};
use crate::publish::{Plan, PlannedFile, publish};
use crate::report::Failure;

/// What a run did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    files: usize,
    bytes: usize,
    /// Enough to tell by eye whether two pods were given the same files.
    manifest: Option<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "init-sync: {} files, {} bytes", self.files, self.bytes)?;
        match &self.manifest {
            Some(manifest) => write!(f, ", manifest {manifest}"),
            None => Ok(()),
        }
    }
}

/// Makes what the manifest says, below `to` or else below the directory that it names.
///
/// # Errors
///
/// Why nothing was published.
pub(crate) fn by_manifest(
    kernel: &impl Kernel,
    variables: Variables<'_>,
    to: Option<&Path>,
) -> Result<Summary, Failure> {
    let text = variables(MANIFEST_VARIABLE)
        .ok_or_else(|| Failure::new(Exit::NoManifest, format!("{MANIFEST_VARIABLE} is not set")))?;
    let manifest: Manifest = str::from_utf8(&text)
        .map_err(|_| Failure::new(Exit::MalformedManifest, format!("{MANIFEST_VARIABLE} is not UTF-8")))?
        .parse()?;
    let payload = Payload::from_manifest(&manifest, variables)?;

    let paths: Vec<String> = manifest.entries.iter().map(|entry| normalise(entry.path())).collect();
    let mut contents = payload.contents();
    let mut plan = Plan::default();
    for (entry, path) in manifest.entries.iter().zip(&paths) {
        match entry {
            Entry::Directory { .. } => plan.directories.push(path),
            Entry::EmptyFile { .. } => {
                plan.files.push(PlannedFile { path, mode: EMPTY_FILE_MODE, content: &[] });
            }
            Entry::File(file) => {
                let content = contents.next().unwrap_or_default();
                plan.files.push(PlannedFile { path, mode: file.mode, content });
            }
        }
    }
    publish(kernel, to.unwrap_or(Path::new(&manifest.directory)), &plan)?;
    Ok(Summary { files: manifest.files().count(), bytes: payload.size(), manifest: Some(fingerprint(&text)) })
}

/// Makes one file per name below `to`, from the variable of that name.
///
/// # Errors
///
/// Why nothing was published.
pub(crate) fn by_names(
    kernel: &impl Kernel,
    variables: Variables<'_>,
    to: &Path,
    mode: u32,
    names: &[String],
) -> Result<Summary, Failure> {
    let payload = Payload::from_names(names, variables)?;
    let files = names.iter().zip(payload.contents());
    let plan = Plan {
        directories: Vec::new(),
        files: files.map(|(path, content)| PlannedFile { path, mode, content }).collect(),
    };
    publish(kernel, to, &plan)?;
    Ok(Summary { files: names.len(), bytes: payload.size(), manifest: None })
}
