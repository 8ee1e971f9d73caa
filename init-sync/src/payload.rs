//! Collects content: from variables to verified bytes, all of them in memory, before anything is written. Where
//! variables come from is the caller's word; no file system here.

use init_sync::decode::decoded_size;
use init_sync::{Decoder, Exit, File, MAX_FILES, MAX_TOTAL_BYTES, Manifest, Wiped};

use crate::report::Failure;

/// Gives the value of a variable, if it is set.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<Wiped>;

/// The content of several files, one after the other in one buffer: reserved once, wiped once.
#[derive(Debug)]
pub(crate) struct Payload {
    bytes: Wiped,
    sizes: Vec<usize>,
}

impl Payload {
    /// Decodes and verifies the files of a manifest, in its order.
    ///
    /// # Errors
    ///
    /// The first file or variable that is not as the manifest says.
    pub(crate) fn from_manifest(manifest: &Manifest, variables: Variables<'_>) -> Result<Self, Failure> {
        // Within the limit that the manifest was checked against.
        let size_of = |file: &File| usize::try_from(file.size).unwrap_or(usize::MAX);
        let sizes: Vec<usize> = manifest.files().map(size_of).collect();
        let mut bytes = Wiped::zeroed(sizes.iter().sum());
        let decoder = Decoder::new();
        let mut rest = &mut *bytes;
        for (file, size) in manifest.files().zip(&sizes) {
            let values = file
                .variables
                .iter()
                .map(|name| value(&file.path, name, variables))
                .collect::<Result<Vec<_>, _>>()?;
            let (content, after) = rest.split_at_mut_checked(*size).ok_or_else(out_of_step)?;
            decoder
                .file(file, &values, content)
                .map_err(|error| Failure::decoding(&file.path, &file.variables, error))?;
            rest = after;
        }
        Ok(Self { bytes, sizes })
    }

    /// Decodes one variable per file, without a word about what it should be.
    ///
    /// # Errors
    ///
    /// The first variable that is missing or not base64, or the limit that is exceeded.
    pub(crate) fn from_names(names: &[String], variables: Variables<'_>) -> Result<Self, Failure> {
        if names.len() > MAX_FILES {
            return Err(Failure::new(Exit::LimitExceeded, format!("more than {MAX_FILES} files")));
        }
        let values = names.iter().map(|name| value(name, name, variables)).collect::<Result<Vec<_>, _>>()?;
        let sizes: Vec<usize> = values.iter().map(|value| decoded_size(value)).collect();
        let total: usize = sizes.iter().sum();
        if total as u64 > MAX_TOTAL_BYTES {
            let message = format!("more than {MAX_TOTAL_BYTES} decoded bytes");
            return Err(Failure::new(Exit::LimitExceeded, message));
        }
        let mut bytes = Wiped::zeroed(total);
        let decoder = Decoder::new();
        let mut rest = &mut *bytes;
        for ((name, value), size) in names.iter().zip(&values).zip(&sizes) {
            let (content, after) = rest.split_at_mut_checked(*size).ok_or_else(out_of_step)?;
            decoder
                .variable(value, content)
                .map_err(|error| Failure::decoding(name, std::slice::from_ref(name), error))?;
            rest = after;
        }
        Ok(Self { bytes, sizes })
    }

    /// Bytes of all files together.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The contents, in the order in which they were asked for.
    pub(crate) fn contents(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.bytes;
        self.sizes.iter().map_while(move |size| {
            let (content, after) = rest.split_at_checked(*size)?;
            rest = after;
            Some(content)
        })
    }
}

fn value(path: &str, name: &str, variables: Variables<'_>) -> Result<Wiped, Failure> {
    variables(name)
        .ok_or_else(|| Failure::new(Exit::MissingVariable, format!("{path}: variable {name} is not set")))
}

fn out_of_step() -> Failure {
    Failure::new(Exit::Internal, "sizes and contents are out of step")
}
