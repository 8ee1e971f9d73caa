//! Durations on the command line.

use std::time::Duration;

/// Whole numbers with a unit, `500ms`, `5s` or `2m`: nothing here needs more, and no default unit can be wrong.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err("expected a whole number with a unit: 500ms, 5s or 2m".to_owned()),
    };
    let milliseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    let milliseconds = milliseconds.filter(|milliseconds| *milliseconds <= 24 * 3_600_000);
    milliseconds.map(Duration::from_millis).ok_or_else(|| "expected at most 1440m".to_owned())
}

pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_millis(10) { Err("expected at least 10ms".to_owned()) } else { Ok(interval) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["5", "s", "", "-1s", "1.5s", "5 s", "99999999999999999999s", "18446744073709551615m"] {
            duration(wrong).unwrap_err();
        }
        interval("0s").unwrap_err();
    }
}
