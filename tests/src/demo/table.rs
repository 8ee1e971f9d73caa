//! The table of what was added, each line with the profile and field that asked for it.

use std::fmt::Write as _;

use super::additions::Addition;
use super::screen::Screen;

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    sign: char,
    what: &'static str,
    value: String,
    origin: String,
}

impl Row {
    pub(super) fn new(addition: &Addition, origin: Option<&str>) -> Self {
        let Addition { sign, what, value, .. } = addition;
        Self { sign: *sign, what, value: value.clone(), origin: short(origin.unwrap_or("?")) }
    }

    fn left(&self) -> String {
        format!("{:17} {}", self.what, self.value)
    }
}

/// Prints the rows. Those that the reader has seen already are named in one line, but for the mounts: which role gets
/// which is what people look for.
pub(super) fn print(screen: Screen, rows: &[Row], seen: &[Row]) {
    let (again, new): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.what != "mount" && seen.contains(row));
    if !again.is_empty() {
        screen.line(format_args!("  = as in the driver: {}", names(&again)));
    }
    let length = |text: &str| text.chars().count();
    let all = new.iter().map(|row| length(&row.left()) + length(&row.origin));
    let width = all.max().unwrap_or_default() + 2;
    for row in new {
        let left = row.left();
        // The right edge is straight: the longest field paths stand beside the shortest values.
        let gap = " ".repeat(width - length(&left) - length(&row.origin));
        let sign = row.sign.to_string();
        let sign = if row.sign == '+' { screen.green(&sign) } else { screen.yellow(&sign) };
        screen.line(format_args!("  {sign} {left}{gap}{}", screen.dim(&row.origin)));
    }
}

/// `nodeSelector, 2 × hostAlias`.
fn names(rows: &[&Row]) -> String {
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        if rows[..index].iter().any(|earlier| earlier.what == row.what) {
            continue;
        }
        let count = rows.iter().filter(|other| other.what == row.what).count();
        let comma = if text.is_empty() { "" } else { ", " };
        let times = if count > 1 { format!("{count} × ") } else { String::new() };
        let _ = write!(text, "{comma}{times}{}", row.what);
    }
    text
}

/// Field paths without the part that every template has in common.
fn short(origin: &str) -> String {
    match origin.strip_prefix("annotation scheduler.alpha.kubernetes.io/") {
        Some(rest) => format!("annotation …/{rest} of the namespace"),
        None => origin.replace(".template.spec.", "…"),
    }
}
