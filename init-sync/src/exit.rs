//! The exit codes: a published contract, for operators who read `kubectl describe pod`. A code never changes its
//! meaning; a new cause gets a new code. Which error ends with which code is said by the errors themselves.

use std::fmt;

/// How a run of `init-sync` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Every file is in place.
    Done = 0,
    /// The command line makes no sense.
    Usage = 2,
    /// `INIT_SYNC_MANIFEST` is not set.
    NoManifest = 10,
    /// The manifest breaks a rule of its format.
    MalformedManifest = 11,
    /// The manifest speaks another protocol version.
    UnknownProtocol = 12,
    /// A variable that the manifest or the command line names is not set.
    MissingVariable = 13,
    /// A variable is not canonical padded base64.
    NotBase64 = 14,
    /// A variable is not a raw DEFLATE stream.
    BadDeflate = 15,
    /// A file has another size than the manifest says.
    SizeMismatch = 16,
    /// A file has another SHA-256 than the manifest says.
    DigestMismatch = 17,
    /// More files, directories or bytes than allowed.
    LimitExceeded = 18,
    /// The target directory is missing or not a directory.
    NoTarget = 20,
    /// Something else is where a file or directory belongs.
    Occupied = 21,
    /// The volume is full.
    NoSpace = 22,
    /// The target is on a read-only file system.
    ReadOnly = 23,
    /// The user may not write there.
    PermissionDenied = 24,
    /// The file system failed in another way.
    InputOutput = 25,
    /// The disk quota is used up.
    QuotaExceeded = 26,
    /// A bug in `init-sync`.
    Internal = 70,
}

impl Exit {
    /// Every code, in ascending order: `--help`, the README and the tests are checked against it.
    pub const ALL: [Self; 19] = [
        Self::Done,
        Self::Usage,
        Self::NoManifest,
        Self::MalformedManifest,
        Self::UnknownProtocol,
        Self::MissingVariable,
        Self::NotBase64,
        Self::BadDeflate,
        Self::SizeMismatch,
        Self::DigestMismatch,
        Self::LimitExceeded,
        Self::NoTarget,
        Self::Occupied,
        Self::NoSpace,
        Self::ReadOnly,
        Self::PermissionDenied,
        Self::InputOutput,
        Self::QuotaExceeded,
        Self::Internal,
    ];

    /// The number that the process ends with.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What the code means, in one phrase.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Done => "every file is in place",
            Self::Usage => "the command line makes no sense",
            Self::NoManifest => "INIT_SYNC_MANIFEST is not set",
            Self::MalformedManifest => "the manifest is malformed",
            Self::UnknownProtocol => "the manifest speaks another protocol version",
            Self::MissingVariable => "a variable is not set",
            Self::NotBase64 => "a variable is not canonical padded base64",
            Self::BadDeflate => "a variable is not a raw DEFLATE stream",
            Self::SizeMismatch => "a file has another size than declared",
            Self::DigestMismatch => "a file has another SHA-256 than declared",
            Self::LimitExceeded => "more files, directories or bytes than allowed",
            Self::NoTarget => "the target directory is missing or not a directory",
            Self::Occupied => "something else is where a file or directory belongs",
            Self::NoSpace => "no space left on the volume",
            Self::ReadOnly => "the file system is read-only",
            Self::PermissionDenied => "permission denied",
            Self::InputOutput => "the file system failed in another way",
            Self::QuotaExceeded => "the disk quota is used up",
            Self::Internal => "a bug in init-sync",
        }
    }

    /// What whoever reads the code should do.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Done => "nothing",
            Self::Usage => "see --help",
            Self::NoManifest => "set it, or name variables: --to DIR NAME...",
            Self::MalformedManifest => "let the webhook write it",
            Self::UnknownProtocol => "use the init image of the webhook's version",
            Self::MissingVariable => "set it; a Secret of the revision must have it as a key",
            Self::NotBase64 => "set the variable to the standard padded base64 of the content",
            Self::BadDeflate => "set the variables to the base64 of one raw DEFLATE stream",
            Self::SizeMismatch | Self::DigestMismatch => "the variables are not those of this manifest",
            Self::LimitExceeded => "deliver less",
            Self::NoTarget => "mount the volume there, or name another directory with --to",
            Self::Occupied => "remove what is there",
            Self::NoSpace => "raise the sizeLimit of the volume",
            Self::ReadOnly => "mount the volume writable in the init container",
            Self::PermissionDenied => "set fsGroup, or run as the owner of the volume",
            Self::InputOutput => "look at the node's kernel log",
            Self::QuotaExceeded => "raise the disk quota",
            Self::Internal => "report it",
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn codes_are_distinct_and_ascending_and_each_says_what_it_means() {
        assert!(Exit::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()));
        for (index, exit) in Exit::ALL.iter().enumerate() {
            assert!(!exit.description().is_empty());
            assert!(Exit::ALL[..index].iter().all(|other| other.description() != exit.description()));
        }
    }

    #[test]
    fn codes_stay_clear_of_those_of_shells_and_signals() {
        assert!(Exit::ALL.iter().all(|exit| exit.code() < 126 && exit.code() != 1));
    }
}
