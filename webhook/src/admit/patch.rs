//! RFC 6902 operations: how they are built and how they are written.
//!
//! Operations are made from the plan, never by comparing two documents, so their number does not depend on the
//! size of the pod, and no field that we do not know is ever touched.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Constant JSON text, already base64-encoded.
///
/// JSON allows white space between tokens: padded with spaces to a multiple of three bytes, the encoding of a
/// fragment can be copied into the encoding of the whole patch, and a large payload costs one `memcpy` per request.
#[derive(Debug, PartialEq)]
pub struct Fragment {
    encoded: String,
}

impl Fragment {
    /// Encodes JSON text that starts and ends between two tokens.
    pub fn new(mut json: String) -> Self {
        while !json.len().is_multiple_of(3) {
            json.push(' ');
        }
        Self { encoded: STANDARD.encode(json) }
    }

    /// The JSON text, with its padding.
    pub fn json(&self) -> String {
        let bytes = STANDARD.decode(&self.encoded).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    }
}

/// A value of an operation, in pieces that are copied one after the other.
#[derive(Debug)]
pub enum Piece<'p> {
    /// JSON text.
    Text(Cow<'p, str>),
    /// JSON text that was encoded when the plan was made.
    Constant(&'p Fragment),
}

#[derive(Debug)]
struct Operation<'p> {
    verb: &'static str,
    path: String,
    value: Vec<Piece<'p>>,
}

/// A patch under construction.
#[derive(Debug, Default)]
pub struct Patch<'p> {
    operations: Vec<Operation<'p>>,
}

impl<'p> Patch<'p> {
    /// Adds a value at a path, of which the last element may be `-`.
    pub fn add(&mut self, path: String, value: impl Into<Cow<'p, str>>) {
        self.add_pieces(path, vec![Piece::Text(value.into())]);
    }

    /// Adds a value that consists of several pieces.
    pub fn add_pieces(&mut self, path: String, value: Vec<Piece<'p>>) {
        self.operations.push(Operation { verb: "add", path, value });
    }

    /// Replaces the value at a path that exists.
    pub fn replace(&mut self, path: String, value: impl Into<Cow<'p, str>>) {
        self.operations.push(Operation { verb: "replace", path, value: vec![Piece::Text(value.into())] });
    }

    /// Removes the value at a path that exists.
    pub fn remove(&mut self, path: String) {
        self.operations.push(Operation { verb: "remove", path, value: Vec::new() });
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The patch as a JSON array.
    pub fn to_json(&self) -> Value {
        let mut text = String::new();
        self.write(&mut JsonSink(&mut text));
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Appends the patch, base64-encoded, as it stands in an AdmissionReview.
    pub fn encode_into(&self, out: &mut String) {
        let mut sink = Base64Sink { out, pending: String::new() };
        self.write(&mut sink);
        sink.finish();
    }

    fn write(&self, sink: &mut impl Sink) {
        sink.text("[");
        for (index, operation) in self.operations.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            sink.text(comma);
            sink.text("{\"op\":\"");
            sink.text(operation.verb);
            sink.text("\",\"path\":");
            if is_plain(&operation.path) {
                sink.text("\"");
                sink.text(&operation.path);
                sink.text("\"");
            } else {
                sink.text(&quote(&operation.path));
            }
            if !operation.value.is_empty() {
                sink.text(",\"value\":");
                for piece in &operation.value {
                    match piece {
                        Piece::Text(text) => sink.text(text),
                        Piece::Constant(fragment) => sink.constant(fragment),
                    }
                }
            }
            sink.text("}");
        }
        sink.text("]");
    }
}

trait Sink {
    fn text(&mut self, text: &str);
    fn constant(&mut self, fragment: &Fragment);
}

struct JsonSink<'a>(&'a mut String);

impl Sink for JsonSink<'_> {
    fn text(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn constant(&mut self, fragment: &Fragment) {
        self.0.push_str(&fragment.json());
    }
}

struct Base64Sink<'a> {
    out: &'a mut String,
    pending: String,
}

impl Base64Sink<'_> {
    fn finish(self) {
        STANDARD.encode_string(self.pending.as_bytes(), self.out);
    }
}

impl Sink for Base64Sink<'_> {
    fn text(&mut self, text: &str) {
        self.pending.push_str(text);
    }

    fn constant(&mut self, fragment: &Fragment) {
        while !self.pending.len().is_multiple_of(3) {
            self.pending.push(' ');
        }
        STANDARD.encode_string(self.pending.as_bytes(), self.out);
        self.pending.clear();
        self.out.push_str(&fragment.encoded);
    }
}

/// A list that may be absent: the first addition makes it, the next ones append.
///
/// `add /spec/volumes/-` fails on a pod without volumes, and a second `add /spec/volumes` replaces the first.
#[derive(Debug)]
pub struct ListEdit<'p> {
    path: String,
    present: bool,
    created: Vec<Cow<'p, str>>,
}

impl<'p> ListEdit<'p> {
    /// Starts editing the list at a path.
    pub fn new(path: impl Into<String>, present: bool) -> Self {
        Self { path: path.into(), present, created: Vec::new() }
    }

    /// Appends an element.
    pub fn push(&mut self, patch: &mut Patch<'p>, json: impl Into<Cow<'p, str>>) {
        if self.present {
            patch.add(format!("{}/-", self.path), json);
        } else {
            self.created.push(json.into());
        }
    }

    /// Writes the list if it had to be made.
    pub fn finish(self, patch: &mut Patch<'p>) {
        if !self.created.is_empty() {
            patch.add(self.path, format!("[{}]", self.created.join(",")));
        }
    }
}

/// A map that may be absent: the first addition makes it, the next ones add a key each.
#[derive(Debug)]
pub struct MapEdit<'p> {
    path: String,
    present: bool,
    created: Vec<(&'p str, Cow<'p, str>)>,
}

impl<'p> MapEdit<'p> {
    /// Starts editing the map at a path.
    pub fn new(path: impl Into<String>, present: bool) -> Self {
        Self { path: path.into(), present, created: Vec::new() }
    }

    /// Sets a key.
    pub fn set(&mut self, patch: &mut Patch<'p>, key: &'p str, json: impl Into<Cow<'p, str>>) {
        if self.present {
            patch.add(pointer(&self.path, key), json);
        } else {
            self.created.push((key, json.into()));
        }
    }

    /// Writes the map if it had to be made.
    pub fn finish(self, patch: &mut Patch<'p>) {
        if self.created.is_empty() {
            return;
        }
        let mut json = String::from("{");
        for (index, (key, value)) in self.created.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(json, "{comma}{}:{value}", quote(key));
        }
        json.push('}');
        patch.add(self.path, json);
    }
}

/// Extends a JSON pointer by one element, escaped (RFC 6901).
pub fn pointer(parent: &str, key: &str) -> String {
    format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Text as a JSON string.
pub fn quote(text: &str) -> String {
    if is_plain(text) { format!("\"{text}\"") } else { Value::from(text).to_string() }
}

/// Whether text stands in a JSON string as it is.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
}
