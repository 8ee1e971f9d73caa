//! Reads the text of a manifest and checks it against the rules and limits. Errors name the line and what is
//! allowed, and quote nothing of the text: the wrong variable under the manifest's name may be a secret.

use std::fmt;
use std::str::FromStr;

use crate::manifest::END;
use crate::path::{MAX_PATH_BYTES, PathError, check_path, elements};
use crate::{
    Encoding, Entry, Exit, File, MAX_DIRECTORIES, MAX_ENTRIES, MAX_FILES, MAX_TOTAL_BYTES, Manifest,
    PROTOCOL, is_legal_variable,
};

/// Why a manifest is refused. Lines count from 1; entry `n` of a [`Manifest`], counted from 0, is on line `n + 2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManifestError {
    /// Line 1 is not `init-sync VERSION DIRECTORY`.
    Header,
    /// The manifest speaks another protocol.
    Protocol {
        /// The version in line 1.
        found: u64,
    },
    /// The target directory is not a clean absolute path.
    TargetDirectory,
    /// The last line is missing, or what stands there is not it.
    Truncated,
    /// The line is no entry.
    Syntax {
        /// Where.
        line: usize,
    },
    /// One field of an `f` line is wrong.
    Field {
        /// Where.
        line: usize,
        /// Which.
        field: Field,
    },
    /// A path breaks the rules of [`check_path`].
    Path {
        /// Where.
        line: usize,
        /// Which rule.
        error: PathError,
    },
    /// Two entries have one path.
    Duplicate {
        /// The second of them.
        line: usize,
        /// The first of them.
        other: usize,
    },
    /// A path leads through a file.
    FileAsDirectory {
        /// Where.
        line: usize,
        /// The file.
        other: usize,
    },
    /// A limit is exceeded.
    Limit {
        /// The first line too many.
        line: usize,
        /// Which limit.
        limit: Limit,
    },
}

/// A field of an `f` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Four octal digits, at most `0777`.
    Mode,
    /// Decimal, without leading zeros.
    Size,
    /// 64 lower-case hex digits.
    Digest,
    /// `plain` or `deflate`.
    Encoding,
    /// Names that [`is_legal_variable`] accepts, comma-separated.
    Variables,
}

/// A limit on a whole manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`MAX_FILES`]
    Files,
    /// [`MAX_ENTRIES`]
    Entries,
    /// [`MAX_DIRECTORIES`]
    Directories,
    /// [`MAX_TOTAL_BYTES`]
    Bytes,
}

impl ManifestError {
    /// The code that `init-sync` ends with.
    pub const fn exit(self) -> Exit {
        match self {
            Self::Protocol { .. } => Exit::UnknownProtocol,
            Self::Limit { .. } => Exit::LimitExceeded,
            _ => Exit::MalformedManifest,
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("line 1: must be `init-sync VERSION DIRECTORY`"),
            Self::Protocol { found } => write!(f, "line 1: protocol {found}; only {PROTOCOL} is known here"),
            Self::TargetDirectory => write!(
                f,
                "line 1: the directory must be absolute, without `..` and control characters, at most \
                 {MAX_PATH_BYTES} bytes"
            ),
            Self::Truncated => write!(f, "the last line must be `{END}`: the manifest was cut off"),
            Self::Syntax { line } => write!(
                f,
                "line {line}: must be `d PATH`, `e PATH` or `f MODE SIZE DIGEST ENCODING VARIABLES PATH`"
            ),
            Self::Field { line, field } => write!(f, "line {line}: {field}"),
            Self::Path { line, error } => write!(f, "line {line}: {error}"),
            Self::Duplicate { line, other } => {
                write!(f, "line {line}: same path as line {other}; each path may stand once")
            }
            Self::FileAsDirectory { line, other } => {
                write!(f, "line {line}: the path leads through the file of line {other}")
            }
            Self::Limit { line, limit } => write!(f, "line {line}: more than {limit}"),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mode => "the mode must be four octal digits, at most 0777",
            Self::Size => "the size must be decimal, without sign and leading zeros",
            Self::Digest => "the digest must be 64 lower-case hex digits",
            Self::Encoding => "the encoding must be `plain` or `deflate`",
            Self::Variables => {
                "the variables must be comma-separated names of letters, digits, `-`, `.` and `_`, \
                 not starting with a digit or `..`"
            }
        })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files => write!(f, "{MAX_FILES} files"),
            Self::Entries => write!(f, "{MAX_ENTRIES} entries"),
            Self::Directories => write!(f, "{MAX_DIRECTORIES} directories"),
            Self::Bytes => write!(f, "{MAX_TOTAL_BYTES} decoded bytes"),
        }
    }
}

impl std::error::Error for ManifestError {}

impl FromStr for Manifest {
    type Err = ManifestError;

    fn from_str(text: &str) -> Result<Self, ManifestError> {
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let directory = header(lines.next().unwrap_or_default())?.to_owned();
        check_directory(&directory)?;
        if lines.next_back() != Some(END) {
            return Err(ManifestError::Truncated);
        }
        let entries =
            lines.zip(FIRST_ENTRY..).map(|(line, number)| entry(line, number)).collect::<Result<_, _>>()?;
        let manifest = Self { directory, entries };
        manifest.validate()?;
        Ok(manifest)
    }
}

impl Manifest {
    /// Checks what `init-sync` will check: for whoever builds a manifest instead of reading one.
    ///
    /// # Errors
    ///
    /// The first breach, with the line that the entry has in the text.
    pub fn validate(&self) -> Result<(), ManifestError> {
        check_directory(&self.directory)?;
        let mut files = 0;
        let mut total = 0_u64;
        for (entry, line) in self.entries.iter().zip(FIRST_ENTRY..) {
            let over = |limit| Err(ManifestError::Limit { line, limit });
            check_path(entry.path()).map_err(|error| ManifestError::Path { line, error })?;
            if line - FIRST_ENTRY == MAX_ENTRIES {
                return over(Limit::Entries);
            }
            if let Entry::File(file) = entry {
                check_file(file, line)?;
                files += 1;
                total = total.saturating_add(file.size);
            }
            if files > MAX_FILES {
                return over(Limit::Files);
            }
            if total > MAX_TOTAL_BYTES {
                return over(Limit::Bytes);
            }
        }
        check_tree(&self.entries)
    }
}

/// The header is line 1.
const FIRST_ENTRY: usize = 2;

fn check_directory(directory: &str) -> Result<(), ManifestError> {
    let clean = directory.starts_with('/')
        && directory.len() <= MAX_PATH_BYTES
        && !directory.chars().any(char::is_control)
        && directory.split('/').all(|element| element != "..");
    if clean { Ok(()) } else { Err(ManifestError::TargetDirectory) }
}

fn check_file(file: &File, line: usize) -> Result<(), ManifestError> {
    let wrong = |field| Err(ManifestError::Field { line, field });
    if file.mode > 0o777 {
        return wrong(Field::Mode);
    }
    if file.variables.is_empty() || !file.variables.iter().all(|name| is_legal_variable(name)) {
        return wrong(Field::Variables);
    }
    Ok(())
}

/// No path twice, none through a file, and not too many directories, those included that are only implied.
///
/// Sorted by elements, whatever is below a path comes directly after it, and paths with a common parent are together:
/// each needs to be compared with the one before it only.
fn check_tree(entries: &[Entry]) -> Result<(), ManifestError> {
    // By insertion: of so few entries it takes no time, and a general sort is 5 kB of the binary.
    let mut sorted: Vec<(usize, &Entry)> = Vec::with_capacity(entries.len());
    for (line, entry) in (FIRST_ENTRY..).zip(entries) {
        let at = sorted.partition_point(|(_, known)| elements(known.path()).lt(elements(entry.path())));
        sorted.insert(at, (line, entry));
    }
    let mut directories = 0;
    let mut before: Option<(usize, &Entry)> = None;
    for (line, entry) in sorted {
        let depth = elements(entry.path()).count();
        let mut shared = 0;
        if let Some((other, before)) = before {
            let pairs = elements(before.path()).zip(elements(entry.path()));
            shared = pairs.take_while(|(a, b)| a == b).count();
            if shared == depth {
                return Err(ManifestError::Duplicate { line: line.max(other), other: line.min(other) });
            }
            let through = shared == elements(before.path()).count();
            if through && !matches!(before, Entry::Directory { .. }) {
                return Err(ManifestError::FileAsDirectory { line, other });
            }
        }
        let own = if matches!(entry, Entry::Directory { .. }) { depth } else { depth.saturating_sub(1) };
        directories += own.saturating_sub(shared);
        if directories > MAX_DIRECTORIES {
            return Err(ManifestError::Limit { line, limit: Limit::Directories });
        }
        before = Some((line, entry));
    }
    Ok(())
}

fn header(line: &str) -> Result<&str, ManifestError> {
    let rest = line.strip_prefix("init-sync ").ok_or(ManifestError::Header)?;
    let (version, directory) = rest.split_once(' ').unwrap_or((rest, ""));
    let found = decimal(version).ok_or(ManifestError::Header)?;
    if found != u64::from(PROTOCOL) {
        return Err(ManifestError::Protocol { found });
    }
    Ok(directory)
}

fn entry(line: &str, number: usize) -> Result<Entry, ManifestError> {
    let syntax = ManifestError::Syntax { line: number };
    let (kind, rest) = line.split_once(' ').ok_or(syntax)?;
    match kind {
        "d" => Ok(Entry::Directory { path: rest.to_owned() }),
        "e" => Ok(Entry::EmptyFile { path: rest.to_owned() }),
        "f" => {
            // Five fields; the path is the rest, spaces and all.
            let mut fields = [""; 5];
            let mut path = rest;
            for field in &mut fields {
                (*field, path) = path.split_once(' ').ok_or(syntax)?;
            }
            let [mode, size, digest, encoding, variables] = fields;
            let wrong = |field| ManifestError::Field { line: number, field };
            Ok(Entry::File(File {
                path: path.to_owned(),
                mode: octal(mode).ok_or(wrong(Field::Mode))?,
                size: decimal(size).ok_or(wrong(Field::Size))?,
                digest: hex(digest).ok_or(wrong(Field::Digest))?,
                encoding: match encoding {
                    "plain" => Encoding::Plain,
                    "deflate" => Encoding::Deflate,
                    _ => return Err(wrong(Field::Encoding)),
                },
                variables: variables.split(',').map(str::to_owned).collect(),
            }))
        }
        _ => Err(syntax),
    }
}

/// `u64::from_str` alone accepts a sign and leading zeros: two texts for one manifest.
fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (canonical && digits).then(|| text.parse().ok()).flatten()
}

fn octal(text: &str) -> Option<u32> {
    let digits = text.len() == 4 && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    digits.then(|| u32::from_str_radix(text, 8).ok()).flatten()
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut digest = [0; 32];
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != digest.len() {
        return None;
    }
    for (byte, &[high, low]) in digest.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(digest)
}
