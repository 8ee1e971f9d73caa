//! RFC 6902 operations: how they are built and how they are written.
//!
//! Operations are made from the plan, never by comparing two documents, so their number does not depend on the
//! size of the pod, and no field that we do not know is ever touched. They are written down at once, as the text that
//! is sent: nothing is built that would have to be serialised.

use std::fmt;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{PAD, STANDARD};
use bytes::Bytes;
use serde_json::Value;

use super::parts;
use super::pointer::Pointer;

/// Constant JSON text, already base64-encoded.
///
/// JSON allows white space between tokens: padded with spaces to a multiple of three bytes, the encoding of a
/// fragment can stand inside the encoding of the whole patch, and a large payload costs no work per request.
#[derive(Debug, PartialEq)]
pub struct Fragment {
    encoded: Bytes,
}

impl Fragment {
    /// Encodes JSON text that starts and ends between two tokens.
    pub fn new(mut json: String) -> Self {
        pad(&mut json, 0);
        Self { encoded: ENCODER.encode(json).into() }
    }

    /// The JSON text, with its padding.
    pub fn json(&self) -> String {
        let bytes = STANDARD.decode(&self.encoded).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    }
}

/// Fills the text behind `start` with white space to whole groups of base64.
fn pad(text: &mut String, start: usize) {
    while !(text.len() - start).is_multiple_of(3) {
        text.push(' ');
    }
}

/// A value of an operation.
#[derive(Clone, Copy, Debug)]
pub enum Json<'v> {
    /// Text, still to be quoted.
    Text(&'v str),
    /// JSON text as it stands in a patch.
    Written(&'v str),
}

impl Json<'_> {
    fn write(self, out: &mut String) {
        match self {
            Self::Text(text) => write_quoted(out, text),
            Self::Written(json) => out.push_str(json),
        }
    }
}

impl<'v> From<&'v str> for Json<'v> {
    fn from(json: &'v str) -> Self {
        Self::Written(json)
    }
}

impl<'v> From<&'v String> for Json<'v> {
    fn from(json: &'v String) -> Self {
        Self::Written(json)
    }
}

/// How an operation begins, up to its path.
const ADD: &str = r#"{"op":"add","path":""#;
const REPLACE: &str = r#"{"op":"replace","path":""#;
const REMOVE: &str = r#"{"op":"remove","path":""#;

/// A patch under construction.
#[derive(Debug, Default)]
pub struct Patch<'p> {
    /// The operations as a JSON array, but for the constants; empty where there is none.
    text: String,
    /// Where in the text a constant belongs: at a multiple of three bytes behind the one before it.
    constants: Vec<(usize, &'p Fragment)>,
}

impl<'p> Patch<'p> {
    /// With room for so much text.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), constants: Vec::new() }
    }

    /// Adds a value at a path, of which the last element may be the end of a list.
    pub fn add<'t, 'v>(&mut self, path: impl Into<Pointer<'t>>, value: impl Into<Json<'v>>) {
        self.begin(ADD, path.into());
        self.value(value.into());
        self.end();
    }

    /// Adds a value that starts with JSON text and ends with a constant.
    pub fn add_ending<'t>(&mut self, path: impl Into<Pointer<'t>>, start: &[&str], end: &'p Fragment) {
        self.begin(ADD, path.into());
        self.text.push_str(",\"value\":");
        self.text.extend(start.iter().copied());
        let aligned = self.constants.last().map_or(0, |(at, _)| *at);
        pad(&mut self.text, aligned);
        self.constants.push((self.text.len(), end));
        self.end();
    }

    /// Replaces the value at a path that exists.
    pub fn replace<'t, 'v>(&mut self, path: impl Into<Pointer<'t>>, value: impl Into<Json<'v>>) {
        self.begin(REPLACE, path.into());
        self.value(value.into());
        self.end();
    }

    /// Removes the value at a path that exists.
    pub fn remove<'t>(&mut self, path: impl Into<Pointer<'t>>) {
        self.begin(REMOVE, path.into());
        self.end();
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Bytes of what is to be done so far, without the constants: more after every operation.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    fn begin(&mut self, head: &str, path: Pointer<'_>) {
        if self.text.is_empty() {
            self.text.push('[');
        } else {
            self.text.pop();
            self.text.push(',');
        }
        self.text.push_str(head);
        let start = self.text.len();
        // Writing to a String does not fail.
        let _ = path.write(&mut self.text);
        if self.text.get(start..).is_some_and(is_plain) {
            self.text.push('"');
        } else {
            let path = self.text.split_off(start);
            self.text.pop();
            write_quoted(&mut self.text, &path);
        }
    }

    fn value(&mut self, value: Json<'_>) {
        self.text.push_str(",\"value\":");
        value.write(&mut self.text);
    }

    fn end(&mut self) {
        self.text.push_str("}]");
    }

    /// The text in front of each constant, with the constant, and the text behind the last one.
    fn pieces(&self) -> (impl Iterator<Item = (&str, &'p Fragment)>, &str) {
        let text = if self.text.is_empty() { "[]" } else { &self.text };
        let mut done = 0;
        let before = self.constants.iter().map(move |(at, constant)| {
            let start = std::mem::replace(&mut done, *at);
            (text.get(start..*at).unwrap_or_default(), *constant)
        });
        let last = self.constants.last().map_or(0, |(at, _)| *at);
        (before, text.get(last..).unwrap_or_default())
    }

    /// The patch as a JSON array.
    pub fn to_json(&self) -> Value {
        let (pieces, last) = self.pieces();
        let mut json = String::new();
        for (text, constant) in pieces {
            json.push_str(text);
            json.push_str(&constant.json());
        }
        json.push_str(last);
        serde_json::from_str(&json).unwrap_or(Value::Null)
    }

    /// Bytes that `encode` writes, without constants that are shared.
    pub(super) fn encoded_size(&self) -> usize {
        let copied = self.constants.iter().map(|(_, constant)| parts::Builder::copied(&constant.encoded));
        base64::encoded_len(self.text.len(), true).unwrap_or_default() + copied.sum::<usize>()
    }

    /// Writes the patch, base64-encoded, as it stands in an AdmissionReview.
    pub(super) fn encode(&self, out: &mut parts::Builder) {
        let (pieces, last) = self.pieces();
        for (text, constant) in pieces {
            encode(text, out);
            out.constant(&constant.encoded);
        }
        encode(last, out);
    }

    /// The patch, base64-encoded.
    pub fn to_base64(&self) -> Vec<u8> {
        let mut out = parts::Builder::with_capacity(self.encoded_size());
        self.encode(&mut out);
        out.finish().to_vec()
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
type Encoder = base64::engine::Simd;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Encoder = base64::engine::Scalar;

/// The fastest engine that this processor has; to ask for it takes longer than to encode a patch.
static ENCODER: LazyLock<Encoder> = LazyLock::new(|| Encoder::standard(PAD));

fn encode(text: &str, out: &mut parts::Builder) {
    let out = out.open();
    let start = out.len();
    out.resize(start + base64::encoded_len(text.len(), true).unwrap_or_default(), 0);
    // It has the size that it takes.
    let _ = ENCODER.encode_slice(text, out.get_mut(start..).unwrap_or_default());
}

/// A list that may be absent: the first addition makes it, the next ones append.
///
/// `add /spec/volumes/-` fails on a pod without volumes, and a second `add /spec/volumes` replaces the first.
#[derive(Debug)]
pub struct ListEdit<'p> {
    path: Pointer<'p>,
    present: bool,
    created: String,
}

impl<'p> ListEdit<'p> {
    /// Starts editing the list at a path.
    pub fn new(path: impl Into<Pointer<'p>>, present: bool) -> Self {
        Self { path: path.into(), present, created: String::new() }
    }

    /// Appends an element.
    pub fn push<'v>(&mut self, patch: &mut Patch<'_>, element: impl Into<Json<'v>>) {
        if self.present {
            patch.add(self.path.end(), element);
        } else {
            open_or_separate(&mut self.created, '[');
            element.into().write(&mut self.created);
        }
    }

    /// Writes the list if it had to be made.
    pub fn finish(mut self, patch: &mut Patch<'_>) {
        if !self.created.is_empty() {
            self.created.push(']');
            patch.add(self.path, &self.created);
        }
    }
}

/// A map that may be absent: the first addition makes it, the next ones add a key each.
#[derive(Debug)]
pub struct MapEdit<'p> {
    path: Pointer<'p>,
    present: bool,
    created: String,
}

impl<'p> MapEdit<'p> {
    /// Starts editing the map at a path.
    pub fn new(path: impl Into<Pointer<'p>>, present: bool) -> Self {
        Self { path: path.into(), present, created: String::new() }
    }

    /// Sets a key.
    pub fn set<'v>(&mut self, patch: &mut Patch<'_>, key: &'v str, value: impl Into<Json<'v>>) {
        if self.present {
            patch.add(self.path.key(key), value);
        } else {
            open_or_separate(&mut self.created, '{');
            write_quoted(&mut self.created, key);
            self.created.push(':');
            value.into().write(&mut self.created);
        }
    }

    /// Writes the map if it had to be made.
    pub fn finish(mut self, patch: &mut Patch<'_>) {
        if !self.created.is_empty() {
            self.created.push('}');
            patch.add(self.path, &self.created);
        }
    }
}

/// What most lists and maps that have to be made take.
const CREATED_BYTES: usize = 512;

/// In front of an element of a list or map that is being made: its start, or a comma.
fn open_or_separate(created: &mut String, start: char) {
    if created.is_empty() {
        created.reserve(CREATED_BYTES);
        created.push(start);
    } else {
        created.push(',');
    }
}

/// Text as a JSON string.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    write_quoted(&mut quoted, text);
    quoted
}

/// Writes text as a JSON string.
pub(super) fn write_quoted(out: &mut impl fmt::Write, text: &str) {
    // Writing to a buffer in memory does not fail.
    let _ = if is_plain(text) {
        out.write_char('"').and_then(|()| out.write_str(text)).and_then(|()| out.write_char('"'))
    } else {
        out.write_str(&Value::from(text).to_string())
    };
}

/// Whether text stands in a JSON string as it is.
fn is_plain(text: &str) -> bool {
    // Counted to the end instead of stopping at the first: so the compiler looks at many bytes at once.
    let special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    text.bytes().filter(special).count() == 0
}
