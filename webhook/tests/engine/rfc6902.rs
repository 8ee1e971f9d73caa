//! RFC 6902: the public suite against the engine that applies patches here and offline, and our own operations
//! against that engine on documents of the suite.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use spark_injector::admit::patch::{Fragment, Json, ListEdit, MapEdit, Patch, quote};
use spark_injector::admit::pointer::Pointer;

fn suite() -> Vec<(String, Value)> {
    let mut tests = Vec::new();
    for file in ["tests", "spec_tests"] {
        let path = format!("{}/../tests/suites/json-patch/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let list: Vec<Value> = serde_json::from_str(&text).unwrap();
        let named = |(index, test): (usize, Value)| {
            (format!("{file}[{index}] {}", test["comment"].as_str().unwrap_or_default()), test)
        };
        tests.extend(list.into_iter().enumerate().map(named));
    }
    tests
}

fn apply(document: &Value, patch: &Value) -> Result<Value, String> {
    let operations: json_patch::Patch =
        serde_json::from_value(patch.clone()).map_err(|error| error.to_string())?;
    let mut document = document.clone();
    json_patch::patch(&mut document, &operations).map_err(|error| error.to_string())?;
    Ok(document)
}

#[test]
fn the_engine_passes_the_suite() {
    let mut run = 0;
    for (name, test) in suite() {
        if test["disabled"] == true || test.get("patch").is_none() {
            continue;
        }
        run += 1;
        let result = apply(&test["doc"], &test["patch"]);
        match test.get("expected") {
            Some(expected) => assert_eq!(result.as_ref(), Ok(expected), "{name}"),
            None if test.get("error").is_some() => {
                // A member that stands twice: any JSON parser keeps one of them, so there is no error to see.
                let twice = test["error"].as_str().unwrap().contains("repeated");
                assert!(result.is_err() || twice, "{name}: {result:?}");
            }
            None => assert!(result.is_ok(), "{name}: {result:?}"),
        }
    }
    assert!(run > 90, "{run} tests");
}

const KEYS: [&str; 15] = [
    "plain",
    "",
    " ",
    "a/b",
    "m~n",
    "~1",
    "~0",
    "/",
    "~",
    "é",
    "日本",
    "k\"l",
    "k\"",
    "i\\j",
    "spark-injector.io/inject",
];

/// The patch from both of its writers; they must say the same.
fn written(patch: &Patch<'_>) -> Value {
    let json = patch.to_json();
    let decoded = STANDARD.decode(patch.to_base64()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&decoded).unwrap(), json);
    json
}

#[test]
fn pointers_name_any_key_of_any_document() {
    let documents = suite().into_iter().map(|(_, test)| test["doc"].clone()).filter(Value::is_object);
    for document in documents.chain([json!({})]) {
        for key in KEYS {
            let root = Pointer::new("");
            let place = root.key(key);
            let mut patch = Patch::default();
            patch.add(place, Json::Text("there"));
            let added = apply(&document, &written(&patch)).unwrap();
            assert_eq!(added[key], "there");
            assert_eq!(added.pointer(&place.to_string()), Some(&json!("there")));
            let mut patch = Patch::default();
            patch.replace(place, "{\"x\":1}");
            patch.remove(place);
            let removed = apply(&added, &written(&patch)).unwrap();
            let mut expected = document.clone();
            expected.as_object_mut().unwrap().remove(key);
            assert_eq!(removed, expected, "{key:?}");
        }
    }
}

#[test]
fn pointers_nest() {
    let annotations = Pointer::new("/metadata/annotations");
    assert_eq!(annotations.key("a/b~c").key("").to_string(), "/metadata/annotations/a~1b~0c/");
    assert_eq!(Pointer::new("/l").index(10).key("m").end().to_string(), "/l/10/m/-");
}

#[test]
fn a_map_is_made_once_or_extended_key_by_key() {
    for present in [json!({}), json!({ "own": 1, "a/b": 0 })] {
        for there in [true, false] {
            let mut patch = Patch::default();
            let mut edit = MapEdit::new("/m", there);
            for key in KEYS {
                edit.set(&mut patch, key, Json::Text(key));
            }
            edit.finish(&mut patch);
            let document = if there { json!({ "m": present }) } else { json!({ "other": present }) };
            let patched = apply(&document, &written(&patch)).unwrap();
            for key in KEYS {
                assert_eq!(patched["m"][key], key);
            }
            assert_eq!(patched["m"].get("own"), if there { present.get("own") } else { None });
        }
    }
}

#[test]
fn a_list_is_made_once_or_appended_to() {
    for (document, there, expected) in [
        (json!({}), false, json!([1, "é", {}])),
        (json!({ "l": null }), false, json!([1, "é", {}])),
        (json!({ "l": [] }), true, json!([1, "é", {}])),
        (json!({ "l": [0] }), true, json!([0, 1, "é", {}])),
    ] {
        let mut patch = Patch::default();
        let mut edit = ListEdit::new("/l", there);
        for element in ["1", "\"é\"", "{}"] {
            edit.push(&mut patch, element);
        }
        edit.finish(&mut patch);
        assert_eq!(apply(&document, &written(&patch)).unwrap()["l"], expected);
    }
}

#[test]
fn an_edit_without_changes_writes_nothing() {
    let mut patch = Patch::default();
    for there in [true, false] {
        ListEdit::new("/l", there).finish(&mut patch);
        MapEdit::new("/m", there).finish(&mut patch);
    }
    assert!(patch.is_empty());
    assert_eq!(written(&patch), json!([]));
}

#[test]
fn encoded_fragments_fit_at_every_alignment() {
    for length in (0..9).chain([9_000]) {
        for before in 0..4 {
            let content = "ü".repeat(length);
            let fragment = Fragment::new(format!("{}}}", quote(&content)));
            let text = format!("{{\"{}\":", "k".repeat(before));
            let mut patch = Patch::default();
            patch.add_ending("/f", &[&text, ""], &fragment);
            patch.add("/g", "1");
            patch.add_ending("/h", &[&text], &fragment);
            let patched = apply(&json!({}), &written(&patch)).unwrap();
            let map = json!({ "k".repeat(before): content });
            assert_eq!(patched, json!({ "f": map, "g": 1, "h": map }));
            assert_eq!(fragment.json().trim_end(), format!("{}}}", quote(&content)));
        }
    }
}

#[test]
fn any_text_is_quoted_as_json() {
    for text in KEYS.into_iter().chain(["\0\u{1f}\u{7f}", "\u{2028}", "😀", "line\nbreak"]) {
        assert_eq!(serde_json::from_str::<Value>(&quote(text)).unwrap(), text);
    }
}
