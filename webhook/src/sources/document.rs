//! From the text of a file to its documents. Knows YAML and JSON, nothing of Kubernetes.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Error, MessageFormatter, UserMessageFormatter};

/// Largest file that is read as YAML or JSON: a ConfigMap or Secret holds at most 1 MiB, a List of them more.
pub const TEXT_LIMIT: usize = 32 * 1024 * 1024;

/// `---`, a line with a key and a value, and their ends: a file has no more documents than it has room for.
const SMALLEST_DOCUMENT: usize = 8;

/// Plain lists of Namespaces have a node for each ten bytes. Aliases cannot make more of less.
const BYTES_PER_NODE: usize = 8;

/// Levels of a YAML document. A profile has about a dozen.
const YAML_DEPTH: usize = 100;

/// Anchors of a file, and references to them.
const YAML_ANCHORS: usize = 1_000;

/// How the text of a file is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// One JSON value after the other.
    Json,
    /// A stream of YAML documents.
    Yaml,
}

impl Format {
    /// The format of a text whose name says nothing: what starts like a JSON object or array is JSON.
    pub fn of_text(text: &[u8]) -> Self {
        match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{' | b'[') => Self::Json,
            _ => Self::Yaml,
        }
    }
}

/// Reads the documents of a text; empty YAML documents are left out.
///
/// # Errors
///
/// A sentence with line and column when the text cannot be parsed, holds a key twice in one mapping, or asks for more
/// memory than configuration needs (deep nesting, aliases that multiply).
pub fn parse(text: &[u8], format: Format) -> Result<Vec<Value>, String> {
    if text.len() > TEXT_LIMIT {
        return Err(format!("{} bytes are more than the {TEXT_LIMIT} that are read", text.len()));
    }
    // Editors of Windows put a byte order mark before it.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let text = std::str::from_utf8(text).map_err(|error| {
        format!("not UTF-8 at byte {}; files other than text belong into binaryData", error.valid_up_to())
    })?;
    match format {
        Format::Json => parse_json(text),
        Format::Yaml => parse_yaml(text),
    }
}

fn parse_json(text: &str) -> Result<Vec<Value>, String> {
    let mut documents = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Unique>();
    for document in &mut stream {
        documents.push(document.map_err(|error| error.to_string())?.0);
    }
    Ok(documents)
}

fn parse_yaml(text: &str) -> Result<Vec<Value>, String> {
    let nodes = (text.len() / BYTES_PER_NODE).max(500_000);
    let options = serde_saphyr::options! {
        // The text of an error must not quote the file: it may hold a Secret.
        with_snippet: false,
        // kubectl and Spark read YAML 1.1: without quotes `yes` and `Off` are truth values to them, and `defaultMode: 0400`
        // is 256. What is valid here has to be what they make of it.
        strict_booleans: false,
        legacy_octal_numbers: true,
        budget: serde_saphyr::budget! {
            max_depth: YAML_DEPTH,
            max_documents: text.len() / SMALLEST_DOCUMENT + 1,
            max_nodes: nodes,
            // The ends of mappings and lists are events too.
            max_events: 2 * nodes,
            max_aliases: YAML_ANCHORS,
            max_anchors: YAML_ANCHORS,
            max_recorded_anchor_bytes: TEXT_LIMIT,
            max_total_scalar_bytes: 2 * TEXT_LIMIT,
        },
    };
    let words = |error: Error| error.render_with_formatter(&Words);
    serde_saphyr::from_multiple_with_options::<Value>(text, options).map_err(words)
}

/// The library's words for users, but where they quote a value or speak of its own types.
struct Words;

impl MessageFormatter for Words {
    fn format_message<'e>(&self, error: &'e Error) -> Cow<'e, str> {
        match error {
            // `12345e678` may be a password.
            Error::NonFiniteFloat { .. } => "a number out of range; write it in quotes if it is none".into(),
            Error::DuplicateMappingKey { key: Some(key), .. } => format!("duplicate key `{key}`").into(),
            Error::DuplicateMappingKey { key: None, .. } => "duplicate key".into(),
            Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
                format!("more than {YAML_DEPTH} levels deep").into()
            }
            Error::Budget { breach: BudgetBreach::Anchors { .. } | BudgetBreach::Aliases { .. }, .. } => {
                format!("more than {YAML_ANCHORS} anchors, or references to them").into()
            }
            Error::Budget { .. } => "more than configuration needs; split the file".into(),
            other => UserMessageFormatter.format_message(other),
        }
    }
}

/// A JSON value in which no object holds a key twice: `serde_json` alone keeps the last one without a word.
struct Unique(Value);

impl<'de> de::Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        UniqueSeed.deserialize(deserializer).map(Self)
    }
}

struct UniqueSeed;

impl<'de> DeserializeSeed<'de> for UniqueSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(UniqueSeed)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(de::Error::custom(format_args!("duplicate key `{key}`")));
            }
            map.insert(key, entries.next_value_seed(UniqueSeed)?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stream_of_documents_is_read_without_the_empty_ones() {
        let yaml = "# comment\n---\na: 1\n---\n---\nb: [x, 'yes', yes]\n...\n";
        let documents = parse(yaml.as_bytes(), Format::Yaml).unwrap();
        assert_eq!(documents, [json!({"a": 1}), json!({"b": ["x", "yes", true]})]);
        let json = "{\"a\": 18446744073709551615}\n[null, -1, 1.5, true]";
        let documents = parse(json.as_bytes(), Format::Json).unwrap();
        assert_eq!(documents, [json!({"a": u64::MAX}), json!([null, -1, 1.5, true])]);
    }

    #[test]
    fn modes_are_octal_as_kubectl_reads_them() {
        let yaml = b"[0400, 0644, '0400', 420, 0o17, -0400]";
        let documents = parse(yaml, Format::Yaml).unwrap();
        assert_eq!(documents, [json!([256, 420, "0400", 420, 15, -256])]);
    }

    #[test]
    fn a_file_may_hold_all_namespaces_of_a_large_cluster() {
        let document = |index| {
            "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: team-INDEX, labels: {a.example/b: c}}\n"
                .replace("INDEX", &u32::to_string(&index))
        };
        let text: String = (0..10_000).map(document).collect();
        assert_eq!(parse(text.as_bytes(), Format::Yaml).unwrap().len(), 10_000);
        let tiny = "---\na: 1\n".repeat(10_000);
        assert_eq!(parse(tiny.as_bytes(), Format::Yaml).unwrap().len(), 10_000);
    }

    #[test]
    fn the_format_is_told_by_the_first_character() {
        assert_eq!(Format::of_text(b"\n {\"a\":1}"), Format::Json);
        assert_eq!(Format::of_text(b"---\na: 1"), Format::Yaml);
        assert_eq!(Format::of_text(b""), Format::Yaml);
    }

    #[test]
    fn mistakes_name_the_line_and_quote_nothing() {
        let broken = parse(b"a: 1\nsecret: \"s3cr3t\n", Format::Yaml).unwrap_err();
        assert!(broken.contains("line"), "{broken}");
        assert!(!broken.contains("s3cr3t"), "{broken}");
        let twice = parse(b"a: 1\nb: 2\na: 3\n", Format::Yaml).unwrap_err();
        assert!(twice.contains("duplicate key `a`") && twice.contains("line 3"), "{twice}");
        let twice = parse(b"{\"a\": 1,\n \"a\": 2}", Format::Json).unwrap_err();
        assert!(twice.contains("duplicate key `a`") && twice.contains("line 2"), "{twice}");
        for number in ["73069142855e618", ".nan", "-.inf"] {
            let range = parse(format!("a: {number}").as_bytes(), Format::Yaml).unwrap_err();
            assert!(range.contains("out of range") && !range.contains(number), "{range}");
        }
        let truncated = parse(b"{\"a\": 1", Format::Json).unwrap_err();
        assert!(truncated.contains("line 1"), "{truncated}");
        let binary = parse(b"a: \xff\xfe", Format::Yaml).unwrap_err();
        assert!(binary.contains("not UTF-8 at byte 3"), "{binary}");
    }

    #[test]
    fn bombs_are_refused() {
        let mut laughs = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
        for (this, next) in "abcdefghi".chars().zip("bcdefghij".chars()) {
            let again = vec![format!("*{this}"); 9].join(", ");
            laughs.extend([format!("{next}: &{next} [{again}]\n")]);
        }
        parse(laughs.as_bytes(), Format::Yaml).unwrap_err();
        parse("[".repeat(10_000).as_bytes(), Format::Yaml).unwrap_err();
        let deep = parse(["[".repeat(101), "]".repeat(101)].concat().as_bytes(), Format::Yaml).unwrap_err();
        assert!(deep.starts_with("more than 100 levels deep at line 1"), "{deep}");
        parse("[".repeat(10_000).as_bytes(), Format::Json).unwrap_err();
        parse(&vec![b' '; TEXT_LIMIT + 1], Format::Yaml).unwrap_err();
    }
}
