//! JSON pointers (RFC 6901): where an operation acts.

use std::fmt;

/// A place in a document: a chain from an element to its parents, on the stack, so that naming one allocates nothing.
///
/// ```
/// use spark_injector::admit::pointer::Pointer;
///
/// let labels = Pointer::new("/metadata/labels");
/// assert_eq!(labels.key("example.com/team").to_string(), "/metadata/labels/example.com~1team");
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Pointer<'p> {
    parent: Option<&'p Pointer<'p>>,
    element: Element<'p>,
}

#[derive(Clone, Copy, Debug)]
enum Element<'p> {
    /// Any number of elements, as RFC 6901 writes them.
    Path(&'p str),
    /// A member of a map, in its own words.
    Key(&'p str),
    /// An element of a list.
    Index(usize),
    /// Behind the last element of a list.
    End,
}

impl<'p> Pointer<'p> {
    /// A pointer as RFC 6901 writes it, escapes and all.
    pub const fn new(path: &'p str) -> Self {
        Self { parent: None, element: Element::Path(path) }
    }

    /// A member of the map here.
    pub const fn key(&'p self, key: &'p str) -> Self {
        Self { parent: Some(self), element: Element::Key(key) }
    }

    /// An element of the list here.
    pub const fn index(&'p self, index: usize) -> Self {
        Self { parent: Some(self), element: Element::Index(index) }
    }

    /// Where the list here is appended to.
    pub const fn end(&'p self) -> Self {
        Self { parent: Some(self), element: Element::End }
    }

    /// Writes the pointer.
    pub(super) fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.write(out)?;
            out.write_char('/')?;
        }
        match self.element {
            Element::Key(key) if key.bytes().any(|byte| matches!(byte, b'~' | b'/')) => {
                out.write_str(&key.replace('~', "~0").replace('/', "~1"))
            }
            Element::Path(text) | Element::Key(text) => out.write_str(text),
            Element::Index(index) => write!(out, "{index}"),
            Element::End => out.write_char('-'),
        }
    }
}

impl<'p> From<&'p str> for Pointer<'p> {
    fn from(path: &'p str) -> Self {
        Self::new(path)
    }
}

impl fmt::Display for Pointer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}
