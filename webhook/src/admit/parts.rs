//! Bytes in parts: what was made for one answer, and large constants of the plan, which all answers share.

use bytes::{Bytes, BytesMut};

/// Below, a constant is copied; above, it is a further part. A further part is one more buffer for HTTP and TLS to
/// handle, which costs about what copying some ten kilobytes does: the exact figure is of no consequence.
const SHARED_BYTES: usize = 16 * 1024;

/// The body of an answer. A large payload in it is a reference to what the plan holds, so no request copies it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Parts(Vec<Bytes>);

impl Parts {
    /// Bytes of all parts together.
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All parts in one.
    pub fn to_vec(&self) -> Vec<u8> {
        self.0.concat()
    }
}

impl<B: Into<Bytes>> From<B> for Parts {
    fn from(bytes: B) -> Self {
        Self(vec![bytes.into()])
    }
}

impl IntoIterator for Parts {
    type Item = Bytes;
    type IntoIter = std::vec::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Parts under construction: one buffer, split where a constant is shared.
pub(super) struct Builder {
    done: Vec<Bytes>,
    open: BytesMut,
}

impl Builder {
    /// With room for so many bytes that are not shared.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { done: Vec::new(), open: BytesMut::with_capacity(bytes) }
    }

    /// The end of what is there, to write to.
    pub(super) fn open(&mut self) -> &mut BytesMut {
        &mut self.open
    }

    /// How many bytes of the buffer a constant takes.
    pub(super) fn copied(constant: &Bytes) -> usize {
        if constant.len() < SHARED_BYTES { constant.len() } else { 0 }
    }

    /// Appends a constant.
    pub(super) fn constant(&mut self, constant: &Bytes) {
        if Self::copied(constant) > 0 {
            self.open.extend_from_slice(constant);
        } else {
            self.done.extend([self.open.split().freeze(), constant.clone()]);
        }
    }

    /// All of it.
    pub(super) fn finish(mut self) -> Parts {
        self.done.push(self.open.freeze());
        Parts(self.done)
    }
}
