//! Durations on the command line.

use std::time::Duration;

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = parse(text).ok_or("expected a whole number with a unit: 500ms, 5s or 2m")?;
    let day = Duration::from_secs(86_400);
    if duration > day { Err("expected at most 1440m".to_owned()) } else { Ok(duration) }
}

/// How long something is valid: `720h` or `30d`.
pub(super) fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = parse(text).ok_or("expected a whole number with a unit: 720h or 30d")?;
    let years = Duration::from_secs(3660 * 86_400);
    if lifetime > years { Err("expected at most 3660d".to_owned()) } else { Ok(lifetime) }
}

/// Whole numbers with a unit: nothing here needs more, and no default unit can be wrong.
fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_millis)
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
        assert_eq!(lifetime("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(lifetime("2h"), Ok(Duration::from_secs(7_200)));
        for wrong in ["3661d", "30", "1w"] {
            lifetime(wrong).unwrap_err();
        }
    }
}
