//! Decodes content: from variables to verified bytes, one file at a time, before anything of that file is written.
//! Where variables come from is the caller's word; no file system here.

use init_sync::decode::decoded_size;
use init_sync::{Decoder, Exit, File, MAX_FILES, MAX_TOTAL_BYTES, Manifest, Wiped};

use crate::report::Failure;

/// Gives the value of a variable, if it is set.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<Wiped>;

/// Decodes the files of a manifest one after the other into one buffer, as large as the largest of them: it stays in
/// the cache of the processor, and a megabyte of files takes no megabyte of memory.
pub(crate) struct Payload<'v> {
    variables: Variables<'v>,
    decoder: Decoder,
    buffer: Wiped,
}

impl<'v> Payload<'v> {
    /// With room for any one file of a manifest.
    pub(crate) fn of(manifest: &Manifest, variables: Variables<'v>) -> Self {
        let largest = manifest.files().map(size_of).max().unwrap_or_default();
        Self { variables, decoder: Decoder::new(), buffer: Wiped::zeroed(largest) }
    }

    /// The verified content of a file.
    ///
    /// # Errors
    ///
    /// What is not as the manifest says.
    pub(crate) fn file(&mut self, file: &File) -> Result<&[u8], Failure> {
        let mut values = Vec::new();
        let mut encoded = 0;
        for name in &file.variables {
            let value = value(&file.path, name, self.variables)?;
            // A variable may be named again and again.
            encoded += decoded_size(&value);
            if encoded as u64 > MAX_TOTAL_BYTES {
                return Err(too_many_bytes());
            }
            values.push(value);
        }
        // None is larger than the largest; without room its size would be refused.
        let content = self.buffer.get_mut(..size_of(file)).unwrap_or_default();
        self.decoder
            .file(file, &values, content)
            .map_err(|error| Failure::decoding(&file.path, &file.variables, error))?;
        Ok(content)
    }
}

/// Decodes variables without a word about what they should be.
pub(crate) struct Named<'v> {
    variables: Variables<'v>,
    decoder: Decoder,
    bytes: usize,
}

impl<'v> Named<'v> {
    /// For so many files.
    ///
    /// # Errors
    ///
    /// When that is too many.
    pub(crate) fn new(files: usize, variables: Variables<'v>) -> Result<Self, Failure> {
        if files > MAX_FILES {
            return Err(Failure::new(Exit::LimitExceeded, format!("more than {MAX_FILES} files")));
        }
        Ok(Self { variables, decoder: Decoder::new(), bytes: 0 })
    }

    /// The content of the file that is named like its variable.
    ///
    /// # Errors
    ///
    /// When the variable is missing or not base64, or a limit is exceeded.
    pub(crate) fn file(&mut self, name: &String) -> Result<Wiped, Failure> {
        let value = value(name, name, self.variables)?;
        self.bytes += decoded_size(&value);
        if self.bytes as u64 > MAX_TOTAL_BYTES {
            return Err(too_many_bytes());
        }
        let mut content = Wiped::zeroed(decoded_size(&value));
        self.decoder
            .variable(&value, &mut content)
            .map_err(|error| Failure::decoding(name, std::slice::from_ref(name), error))?;
        Ok(content)
    }

    /// Bytes of all files so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn too_many_bytes() -> Failure {
    Failure::new(Exit::LimitExceeded, format!("more than {MAX_TOTAL_BYTES} decoded bytes"))
}

/// Within the limit that the manifest was checked against.
fn size_of(file: &File) -> usize {
    usize::try_from(file.size).unwrap_or(usize::MAX)
}

#[inline(never)]
fn value(path: &str, name: &str, variables: Variables<'_>) -> Result<Wiped, Failure> {
    variables(name)
        .ok_or_else(|| Failure::new(Exit::MissingVariable, format!("{path}: variable {name} is not set")))
}
