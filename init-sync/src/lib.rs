//! The contract between the webhook, which writes an init container's environment, and `init-sync`, which turns
//! that environment into files.
//!
//! ```text
//! webhook                                   kubelet                    init-sync
//! Manifest -> INIT_SYNC_MANIFEST  --+
//! content  -> base64 variables    --+--> environment of the pod --> parse, decode, verify --> publish
//! ```
//!
//! Both sides must agree byte for byte, so both use this crate: the [`Manifest`] and its text, the rules for paths
//! ([`check_path`]) and variable names ([`is_legal_variable`]), the limits, the [`Exit`] codes, and the [`Decoder`].
//! Nothing here does IO; whatever touches the environment or a file system lives in the binary.

pub mod decode;
pub mod digest;
pub mod exit;
pub mod manifest;
pub mod parse;
pub mod path;
mod wiped;

pub use decode::{DecodeError, Decoder};
pub use exit::Exit;
pub use manifest::{Encoding, Entry, File, Manifest};
pub use parse::ManifestError;
pub use path::{PathError, check_path, normalise};
pub use wiped::Wiped;

/// The environment variable that holds the text of the [`Manifest`].
pub const MANIFEST_VARIABLE: &str = "INIT_SYNC_MANIFEST";

/// The version in the first line of a manifest. Another one is refused, with an exit code of its own: webhook and
/// init image are rolled out separately, and guessing would publish the wrong files.
pub const PROTOCOL: u32 = 1;

/// Where the files go unless somebody says otherwise: the mount path of the volume in the init container.
pub const DEFAULT_DIRECTORY: &str = "/spark-injector";

/// Entries of kind `f` in one manifest. A profile delivers configuration; with more files than this, the pod spec is
/// the wrong carrier.
pub const MAX_FILES: usize = 256;

/// Entries of all kinds in one manifest: files, and the mount points among them.
pub const MAX_ENTRIES: usize = 1_024;

/// Directories, those included that are only implied by a path. Each is one open descriptor while files are
/// published, and 1,024 is the customary soft limit of a process.
pub const MAX_DIRECTORIES: usize = 512;

/// Decoded bytes of all files together, and of the variables of one file. One file is in memory at a time; a pod's
/// environment cannot carry more than 6 MiB of base64 (the kernel's cap), so only inflated files come near.
pub const MAX_TOTAL_BYTES: u64 = 16 * 1024 * 1024;

/// One `NAME=value` with its final NUL: the kernel refuses a longer string at exec (`MAX_ARG_STRLEN`, 32 pages of
/// 4 KiB). The manifest is such a variable too.
pub const MAX_VARIABLE_BYTES: usize = 131_072;

/// The mode of an [`Entry::EmptyFile`]: anybody may read what is mounted over it, nobody writes to it.
pub const EMPTY_FILE_MODE: u32 = 0o444;

/// Whether a Kubernetes API server of any supported version accepts `name` for an environment variable: letters,
/// digits, `-`, `.` and `_`, no digit first, and neither `.` nor a leading `..`.
///
/// ```
/// assert!(init_sync::is_legal_variable("krb5.conf"));
/// assert!(!init_sync::is_legal_variable("0.conf"));
/// assert!(!init_sync::is_legal_variable("..data"));
/// ```
pub fn is_legal_variable(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    name.bytes().all(legal)
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        && name != "."
        && !name.starts_with("..")
}

#[cfg(test)]
mod tests {
    use super::is_legal_variable;

    #[test]
    fn variable_names_follow_the_api_servers_rule() {
        for name in ["a", "_", "-", "krb5.conf", ".hidden", "A-b_c.9", ".a..b"] {
            assert!(is_legal_variable(name), "{name:?}");
        }
        for name in ["", ".", "..", "..a", "1a", "a b", "a=b", "a/b", "é", "a\n", "a\0"] {
            assert!(!is_legal_variable(name), "{name:?}");
        }
    }
}
