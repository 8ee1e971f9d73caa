//! Texts that somebody else wrote, on lines of ours.

/// The text on one line, whatever it holds: line ends, control characters, what turns the direction of writing. As `Debug`
/// escapes, but for quotes, of which sentences are full.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => line.push(character),
            other => line.extend(other.escape_debug()),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_line() {
        assert_eq!(one_line("it's \"ä\" – a\\b"), "it's \"ä\" – a\\b");
        assert_eq!(one_line("a\nb\r\u{1b}[31m\u{202e}"), "a\\nb\\r\\u{1b}[31m\\u{202e}");
    }
}
