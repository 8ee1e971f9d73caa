//! A buffer for content that must not outlive its use. It cannot wipe what others hold: the environment of the
//! process stays until the process ends.

use std::fmt;
use std::ops::{Deref, DerefMut};

use zeroize::optimization_barrier;

/// Bytes that are overwritten with zeros when dropped, and that `Debug` does not show.
///
/// `zeroize::Zeroizing` does the same byte by byte with volatile writes, twice for a `Vec`; for a megabyte that takes
/// longer than decoding it. Filling, then a barrier, is one `memset`.
#[derive(Default)]
pub struct Wiped(Vec<u8>);

impl Wiped {
    /// That many zeros. The buffer never grows: growing would leave a copy behind.
    pub fn zeroed(size: usize) -> Self {
        Self(vec![0; size])
    }
}

impl From<Vec<u8>> for Wiped {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for Wiped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Wiped {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.fill(0);
        optimization_barrier(self.0.as_slice());
    }
}

impl fmt::Debug for Wiped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wiped({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Wiped;

    #[test]
    fn debug_shows_no_content() {
        assert_eq!(format!("{:?}", Wiped::from(b"secret".to_vec())), "Wiped(6 bytes)");
    }
}
