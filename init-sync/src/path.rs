//! The rules for a file's path below the target directory: those of the kubelet's `AtomicWriter`, so that
//! what a ConfigMap volume accepts is accepted here; and two stricter ones of our own (control characters, our
//! temporary names). No IO: whether a path leads outside by a symlink is the publisher's question.

use std::fmt;

/// Bytes of a whole path, as in the kubelet's `AtomicWriter`.
pub const MAX_PATH_BYTES: usize = 4_096;

/// Bytes of one element: `NAME_MAX` of every Linux file system.
pub const MAX_ELEMENT_BYTES: usize = 255;

/// How the names of our temporary files start.
pub const TEMPORARY_PREFIX: &str = ".init-sync-";

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// Nothing, or only `.` and `/`.
    Empty,
    /// Starts with `/`.
    Absolute,
    /// An element is `..`.
    Parent,
    /// The first element starts with `..`.
    LeadingDots,
    /// The path is longer than [`MAX_PATH_BYTES`].
    Long,
    /// An element is longer than [`MAX_ELEMENT_BYTES`].
    LongElement,
    /// NUL or another control character.
    Control,
    /// An element starts like a temporary file of ours.
    Reserved,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the path is empty; it must name a file"),
            Self::Absolute => f.write_str("the path is absolute; it must be relative"),
            Self::Parent => f.write_str("the path has an element `..`, which is not allowed"),
            Self::LeadingDots => f.write_str("the path starts with `..`, which the kubelet keeps for itself"),
            Self::Long => write!(f, "the path is longer than {MAX_PATH_BYTES} bytes"),
            Self::LongElement => write!(f, "an element of the path is longer than {MAX_ELEMENT_BYTES} bytes"),
            Self::Control => f.write_str("the path has a control character, which is not allowed"),
            Self::Reserved => write!(
                f,
                "an element of the path starts with `{TEMPORARY_PREFIX}`, the name of temporary files"
            ),
        }
    }
}

impl std::error::Error for PathError {}

/// Checks a path against the rules of this module. `./` and repeated slashes pass, as they do in the kubelet;
/// compare paths by what [`normalise`] makes of them.
///
/// # Errors
///
/// The first rule that the path breaks.
pub fn check_path(path: &str) -> Result<(), PathError> {
    if path.starts_with('/') {
        return Err(PathError::Absolute);
    }
    if path.len() > MAX_PATH_BYTES {
        return Err(PathError::Long);
    }
    if path.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    for element in path.split('/') {
        if element == ".." {
            return Err(PathError::Parent);
        }
        if element.len() > MAX_ELEMENT_BYTES {
            return Err(PathError::LongElement);
        }
        if element.starts_with(TEMPORARY_PREFIX) {
            return Err(PathError::Reserved);
        }
    }
    // After normalisation, so that `./..data` is no way around it.
    match elements(path).next() {
        None => Err(PathError::Empty),
        Some(first) if first.starts_with("..") => Err(PathError::LeadingDots),
        Some(_) => Ok(()),
    }
}

/// The one spelling of a path that [`check_path`] accepts: without `.` elements and empty ones.
pub fn normalise(path: &str) -> String {
    let mut result = String::with_capacity(path.len());
    for element in elements(path) {
        if !result.is_empty() {
            result.push('/');
        }
        result.push_str(element);
    }
    result
}

/// The elements that count.
pub(crate) fn elements(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|element| !matches!(*element, "" | "."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_what_a_config_map_volume_accepts() {
        let element = "e".repeat(MAX_ELEMENT_BYTES);
        for path in ["krb5.conf", "a/b/c", ".hidden", "a/..b", "a b", "é/ü", "./a", "a//b", "a/", &element]
        {
            assert_eq!(check_path(path), Ok(()), "{path:?}");
        }
    }

    #[test]
    fn refuses_each_breach_with_its_reason() {
        let long_element = "e".repeat(MAX_ELEMENT_BYTES + 1);
        let long = "e/".repeat(MAX_PATH_BYTES / 2 + 1);
        for (path, error) in [
            ("", PathError::Empty),
            (".", PathError::Empty),
            ("./.", PathError::Empty),
            ("/etc/passwd", PathError::Absolute),
            ("..", PathError::Parent),
            ("a/../b", PathError::Parent),
            ("a/..", PathError::Parent),
            ("..data", PathError::LeadingDots),
            ("./..data/a", PathError::LeadingDots),
            ("a\0", PathError::Control),
            ("a\nb", PathError::Control),
            ("a\u{7f}", PathError::Control),
            ("a\u{85}b", PathError::Control),
            ("a/.init-sync-0", PathError::Reserved),
            (&long_element, PathError::LongElement),
            (&long, PathError::Long),
        ] {
            assert_eq!(check_path(path), Err(error), "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn an_accepted_path_stays_below_and_is_normalised_once(path in "(\\.|/|[a-c ])*") {
            if check_path(&path).is_ok() {
                let once = normalise(&path);
                prop_assert_eq!(check_path(&once), Ok(()));
                prop_assert_eq!(normalise(&once), once.clone());
                prop_assert!(once.split('/').all(|element| !matches!(element, "" | "." | "..")));
            }
        }
    }
}
