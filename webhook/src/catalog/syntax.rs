//! The grammars of Kubernetes that a profile meets: names, labels, modes, paths, and the node selector annotation.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// What [`is_label_name`] accepts, for messages.
pub(crate) const LABEL_NAME: &str =
    "at most 63 lower-case letters, digits or '-', starting and ending with a letter or digit";

/// What [`is_subdomain`] accepts, for messages.
pub(crate) const SUBDOMAIN: &str =
    "lower-case letters, digits, '-' or '.', starting and ending with a letter or digit";

/// What [`is_label_key`] accepts, for messages.
pub(super) const LABEL_KEY: &str = "at most 63 letters, digits, '-', '_' or '.', with a letter or digit at both ends, after a DNS name and '/' or without";

/// What [`is_label_value`] accepts, for messages.
pub(super) const LABEL_VALUE: &str =
    "at most 63 letters, digits, '-', '_' or '.', with a letter or digit at both ends";

/// Whether text is a DNS label: names of volumes, containers, profiles.
pub(crate) fn is_label_name(text: &str) -> bool {
    text.len() <= 63 && is_element(text)
}

/// Whether text is a DNS subdomain: names of ConfigMaps, Secrets, prefixes of label keys. Kubernetes bounds the whole,
/// and not what stands between two dots.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_element)
}

fn is_element(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Whether text is a label key: an optional DNS subdomain, a slash, and a name.
pub(super) fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && !name.is_empty() && is_label_value(name),
        None => !text.is_empty() && is_label_value(text),
    }
}

/// Whether text is a label value.
pub(super) fn is_label_value(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let edge = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63 && text.bytes().all(inner) && edge(text.bytes().next()) && edge(text.bytes().last())
}

/// Permissions from an octal string, `^0?[0-7]{3}$`.
pub(super) fn parse_mode(text: &str) -> Option<u32> {
    let digits = if text.len() == 4 { text.strip_prefix('0')? } else { text };
    let octal = digits.len() == 3 && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    octal.then(|| u32::from_str_radix(digits, 8).ok())?
}

/// A selector as the in-tree PodNodeSelector plugin reads it: `key=value` pairs separated by commas, both trimmed,
/// exactly one `=` each; the empty string is the empty set; of a repeated key the last one counts.
pub(super) fn parse_node_selector(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut selector = BTreeMap::new();
    if text.is_empty() {
        return Ok(selector);
    }
    for pair in text.split(',') {
        let parts: Vec<&str> = pair.split('=').map(str::trim).collect();
        let [key, value] = parts.as_slice() else {
            return Err(format!("{pair:?} is not key=value"));
        };
        if !is_label_key(key) {
            return Err(format!("{key:?} is not a label key"));
        }
        if !is_label_value(value) {
            return Err(format!("{value:?} is not a label value"));
        }
        selector.insert((*key).to_owned(), (*value).to_owned());
    }
    Ok(selector)
}

/// The operators of a label selector.
pub(super) const OPERATORS: &str = "In, NotIn, Exists, DoesNotExist";

/// Whether labels match a selector; an empty selector matches everything.
pub(crate) fn matches_labels(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let exact = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    exact
        && selector.match_expressions.iter().flatten().all(|expression| {
            let value = labels.get(&expression.key);
            let listed = || {
                let values = expression.values.as_deref().unwrap_or_default();
                value.is_some_and(|value| values.contains(value))
            };
            match expression.operator.as_str() {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// Whether a selector selects everything.
pub(super) fn is_empty_selector(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_selectors_follow_the_in_tree_grammar() {
        let parse = |text: &str| parse_node_selector(text).map(|map| map.into_iter().collect::<Vec<_>>());
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(parse(""), Ok(vec![]));
        assert_eq!(parse(" pool = a , zone=b"), Ok(vec![pair("pool", "a"), pair("zone", "b")]));
        assert_eq!(parse("a=1,a=2"), Ok(vec![pair("a", "2")]));
        assert_eq!(parse("a="), Ok(vec![pair("a", "")]));
        assert_eq!(parse("example.com/pool=x"), Ok(vec![pair("example.com/pool", "x")]));
        for bad in ["a==b", "a", "a in (b)", "a=b,", " ", "=b", "a=b c", "-a=b", "a=b=c", "a!=b"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_bounded_as_a_whole() {
        assert!(is_label_name(&"a".repeat(63)) && !is_label_name(&"a".repeat(64)));
        assert!(is_subdomain(&"a".repeat(253)) && !is_subdomain(&"a".repeat(254)));
        assert!(is_label_key(&format!("{}.example/b", "a".repeat(64))));
        for bad in ["", ".", "a..b", "a.", "-a.b", "a.b-", "A.b", "a_b"] {
            assert!(!is_subdomain(bad), "{bad:?}");
        }
    }

    #[test]
    fn modes_are_three_octal_digits_with_an_optional_zero() {
        assert_eq!(parse_mode("0440"), Some(0o440));
        assert_eq!(parse_mode("644"), Some(0o644));
        for bad in ["", "44", "0", "4755", "08", "0888", "abc", "+44", "01777", "00440"] {
            assert_eq!(parse_mode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn label_selectors_match_as_in_the_api() {
        let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        let selector = |json: serde_json::Value| serde_json::from_value::<LabelSelector>(json).unwrap();
        let cases = [
            (serde_json::json!({}), true),
            (serde_json::json!({"matchLabels": {"team": "a"}}), true),
            (serde_json::json!({"matchLabels": {"team": "b"}}), false),
            (
                serde_json::json!({"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}),
                true,
            ),
            (
                serde_json::json!({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}),
                false,
            ),
            (
                serde_json::json!({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["a"]}]}),
                true,
            ),
            (serde_json::json!({"matchExpressions": [{"key": "x", "operator": "Exists"}]}), false),
            (serde_json::json!({"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}), true),
        ];
        for (json, expected) in cases {
            assert_eq!(matches_labels(&selector(json.clone()), &labels), expected, "{json}");
        }
    }
}
