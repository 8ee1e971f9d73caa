//! The two protocols, from variables to published files. What they say on the way out is the report's.

use std::fmt;
use std::path::Path;

use init_sync::digest::fingerprint;
use init_sync::{EMPTY_FILE_MODE, Entry, Exit, MANIFEST_VARIABLE, Manifest, normalise};

use crate::kernel::Kernel;
use crate::payload::{Named, Payload, Variables};
use crate::publish::Publisher;
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

    let paths: Vec<String> = manifest.entries.iter().map(|entry| normalise(entry.path())).collect();
    let mut payload = Payload::of(&manifest, variables);
    let mut publisher = Publisher::open(kernel, to.unwrap_or(Path::new(&manifest.directory)))?;
    let mut summary = Summary { files: 0, bytes: 0, manifest: Some(fingerprint(&text)) };
    for (entry, path) in manifest.entries.iter().zip(&paths) {
        match entry {
            Entry::Directory { .. } => drop(publisher.directory(path)?),
            Entry::EmptyFile { .. } => publisher.stage(path, EMPTY_FILE_MODE, &[])?,
            Entry::File(file) => {
                let content = payload.file(file)?;
                summary.files += 1;
                summary.bytes += content.len();
                publisher.stage(path, file.mode, content)?;
            }
        }
    }
    publisher.commit()?;
    Ok(summary)
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
    let mut payload = Named::new(names.len(), variables)?;
    let mut publisher = Publisher::open(kernel, to)?;
    for name in names {
        publisher.stage(name, mode, &payload.file(name)?)?;
    }
    publisher.commit()?;
    Ok(Summary { files: names.len(), bytes: payload.bytes(), manifest: None })
}
