//! What a manifest says, and its text. Reading the text is the part of `parse`; carrying it out is the binary's.
//!
//! ```text
//! init-sync 1 /spark-injector
//! d 0/kerberos
//! e 0/krb5.conf
//! f 0444 512 <64 hex digits of SHA-256> plain krb5.conf 1/krb5.conf
//! f 0440 90000 <64 hex digits of SHA-256> deflate f2.0,f2.1 2/core-site.xml
//! end
//! ```
//!
//! The format is line-based so that `init-sync` needs no JSON parser, and so that a person can read it in a pod
//! spec. Paths come last on a line, since they may hold spaces. The last line tells a whole manifest from one that
//! was cut off, which would otherwise be a shorter one.

use std::fmt;

use crate::{MANIFEST_VARIABLE, PROTOCOL};

/// The last line of a manifest.
pub(crate) const END: &str = "end";

/// What [`MANIFEST_VARIABLE`] says: which files to make, and from which variables.
///
/// `Display` writes the text, `FromStr` reads and checks it.
///
/// ```
/// use init_sync::Manifest;
///
/// let text = "init-sync 1 /spark-injector\nd 0/kerberos\nend\n";
/// let manifest: Manifest = text.parse()?;
/// assert_eq!(manifest.to_string(), text);
/// # Ok::<(), init_sync::ManifestError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The target directory, absolute: the mount path of the volume. It must exist.
    pub directory: String,
    /// What to make below it, in any order.
    pub entries: Vec<Entry>,
}

/// One line of a [`Manifest`] after the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A directory, for another volume to be mounted over. Parents of files need no entry.
    Directory {
        /// Relative to the target directory.
        path: String,
    },
    /// An empty file, for a single file to be mounted over: the container runtime cannot make one in a volume that
    /// is mounted read-only.
    EmptyFile {
        /// Relative to the target directory.
        path: String,
    },
    /// A file with content.
    File(File),
}

/// A file: where it goes, and what its content must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Relative to the target directory.
    pub path: String,
    /// Permission bits, at most `0o777`.
    pub mode: u32,
    /// Bytes of the decoded content.
    pub size: u64,
    /// SHA-256 of the decoded content.
    pub digest: [u8; 32],
    /// What the variables hold.
    pub encoding: Encoding,
    /// Names of the variables, in order. Each is a canonical padded base64 string on its own.
    pub variables: Vec<String>,
}

/// What the variables of a [`File`], decoded from base64 and joined, are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The content itself.
    Plain,
    /// One raw DEFLATE stream (RFC 1951) of the content, without a zlib or gzip frame.
    Deflate,
}

impl Encoding {
    /// The word in the text.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Deflate => "deflate",
        }
    }
}

impl Entry {
    /// Where the entry goes, relative to the target directory.
    pub fn path(&self) -> &str {
        match self {
            Self::Directory { path } | Self::EmptyFile { path } => path,
            Self::File(file) => &file.path,
        }
    }
}

impl Manifest {
    /// The entries of kind file.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::File(file) => Some(file),
            Entry::Directory { .. } | Entry::EmptyFile { .. } => None,
        })
    }

    /// Bytes that the manifest takes in the environment, to compare with [`crate::MAX_VARIABLE_BYTES`].
    pub fn variable_bytes(&self) -> usize {
        MANIFEST_VARIABLE.len() + 1 + self.to_string().len() + 1
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "init-sync {PROTOCOL} {}", self.directory)?;
        self.entries.iter().try_for_each(|entry| writeln!(f, "{entry}"))?;
        writeln!(f, "{END}")
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path } => write!(f, "d {path}"),
            Self::EmptyFile { path } => write!(f, "e {path}"),
            Self::File(file) => write!(f, "{file}"),
        }
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f {:04o} {} ", self.mode, self.size)?;
        let (words, _) = self.digest.as_chunks();
        words.iter().try_for_each(|word| write!(f, "{:016x}", u64::from_be_bytes(*word)))?;
        write!(f, " {} {} {}", self.encoding, self.variables.join(","), self.path)
    }
}
