//! Quantities of the Kubernetes API: the same amount can be written in many ways, and the API server writes it in its
//! own: what was added as `1024Mi` comes back as `1Gi`.

use serde_json::Value;

/// Replaces a quantity by its amount, so that equal amounts are equal values. Anything else stays.
pub(super) fn normalise(value: &mut Value) {
    replace(value, Some);
}

/// As [`normalise`], for what a container requests: the API server rounds it up to thousandths.
pub(super) fn normalise_resource(value: &mut Value) {
    replace(value, |amount| Some(amount.checked_add(THOUSANDTH - 1)?.div_euclid(THOUSANDTH)));
}

/// In billionths.
const THOUSANDTH: i128 = 1_000_000;

fn replace(value: &mut Value, rounded: impl FnOnce(i128) -> Option<i128>) {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return,
    };
    if let Some(amount) = billionths(text.trim()).and_then(rounded) {
        *value = Value::String(amount.to_string());
    }
}

/// The amount in billionths, the API's smallest unit.
pub(crate) fn billionths(text: &str) -> Option<i128> {
    let is_number = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '+' | '-');
    let (number, suffix) = text.split_at(text.find(|letter| !is_number(letter)).unwrap_or(text.len()));
    let (digits, decimals) = number.split_once('.').unwrap_or((number, ""));
    let mantissa: i128 = format!("{digits}{decimals}").parse().ok()?;
    let (tens, kibis) = scale(suffix)?;
    let tens = tens.checked_add(9)?.checked_sub(i32::try_from(decimals.len()).ok()?)?;
    let amount = mantissa.checked_mul(1024_i128.checked_pow(kibis)?)?;
    let factor = 10_i128.checked_pow(tens.unsigned_abs())?;
    if tens >= 0 { amount.checked_mul(factor) } else { Some(amount / factor) }
}

/// What a suffix multiplies by: a power of ten, and a power of 1024.
fn scale(suffix: &str) -> Option<(i32, u32)> {
    let scale = match suffix {
        "n" => (-9, 0),
        "u" => (-6, 0),
        "m" => (-3, 0),
        "" => (0, 0),
        "k" => (3, 0),
        "M" => (6, 0),
        "G" => (9, 0),
        "T" => (12, 0),
        "P" => (15, 0),
        "E" => (18, 0),
        "Ki" => (0, 1),
        "Mi" => (0, 2),
        "Gi" => (0, 3),
        "Ti" => (0, 4),
        "Pi" => (0, 5),
        "Ei" => (0, 6),
        exponent => (exponent.strip_prefix(['e', 'E'])?.parse().ok()?, 0),
    };
    Some(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_amount_in_other_words_is_the_same() {
        for (one, other) in [
            ("1024Mi", "1Gi"),
            ("1000m", "1"),
            ("0.5", "500m"),
            (".5", "0.50"),
            ("1.5Gi", "1536Mi"),
            ("2e3", "2k"),
            ("2E3", "2000"),
            ("+1", "1.0"),
            ("-1", "-1000m"),
            ("0", "0Ki"),
            ("100n", "0.1u"),
            ("1E", "1000P"),
        ] {
            assert_eq!(billionths(one), billionths(other), "{one} {other}");
            assert!(billionths(one).is_some(), "{one}");
        }
        assert_ne!(billionths("1G"), billionths("1Gi"));
    }

    #[test]
    fn what_is_no_quantity_stays_as_it_is() {
        for text in [
            "",
            "a",
            "1x",
            "1.2.3",
            "--1",
            "1e",
            "1e99",
            "1e2147483647",
            "1.0000000000e-2147483648",
            "9999999999999999999999999999999999999999",
            ".",
        ] {
            assert_eq!(billionths(text), None, "{text}");
        }
    }
}
