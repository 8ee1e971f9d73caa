//! What was found: a table for people, a list for tools.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::measure::Samples;
use crate::picture::Panel;

/// What a figure or a ratio has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Threshold {
    AtLeast(f64),
    AtMost(f64),
    /// For the record.
    None,
}

#[derive(Debug)]
struct Row {
    name: String,
    unit: &'static str,
    ours: Samples,
    /// The reference, or why there is none.
    reference: Result<Samples, String>,
    ratio: Option<f64>,
    threshold: Threshold,
}

/// One line of the JSON list.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    ours: Option<f64>,
    reference: Option<f64>,
    ratio: Option<f64>,
    threshold: Option<String>,
    holds: Option<bool>,
}

/// Everything found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    panels: Vec<Panel>,
    missing: Vec<String>,
}

impl Report {
    /// Ours needs at most so many times as much as the reference.
    pub(crate) fn at_most(
        &mut self,
        name: &str,
        unit: &'static str,
        ours: &Samples,
        reference: &Samples,
        limit: f64,
    ) {
        let ratio = ours.over(reference).median();
        self.compare(name, unit, ours, reference, ratio, Threshold::AtMost(limit));
    }

    /// The reference needs at least so many times as much as ours.
    pub(crate) fn at_least(
        &mut self,
        name: &str,
        unit: &'static str,
        ours: &Samples,
        reference: &Samples,
        limit: f64,
    ) {
        let ratio = reference.over(ours).median();
        self.compare(name, unit, ours, reference, ratio, Threshold::AtLeast(limit));
    }

    /// Ours next to a reference, for the record.
    pub(crate) fn beside(&mut self, name: &str, unit: &'static str, ours: &Samples, reference: &Samples) {
        self.compare(name, unit, ours, reference, ours.over(reference).median(), Threshold::None);
    }

    /// A figure with a bound of its own.
    pub(crate) fn absolute(&mut self, name: &str, unit: &'static str, ours: &Samples, threshold: Threshold) {
        self.rows.push(Row {
            name: name.to_owned(),
            unit,
            ours: ours.clone(),
            reference: Err(String::new()),
            ratio: None,
            threshold,
        });
    }

    /// A comparison that cannot be made.
    pub(crate) fn without(
        &mut self,
        name: &str,
        unit: &'static str,
        ours: &Samples,
        limit: Threshold,
        why: &str,
    ) {
        self.rows.push(Row {
            name: name.to_owned(),
            unit,
            ours: ours.clone(),
            reference: Err(format!("missing: {why}")),
            ratio: None,
            threshold: limit,
        });
        self.missing(why);
    }

    /// Names a reference or tool that is not there.
    pub(crate) fn missing(&mut self, what: &str) {
        if !self.missing.iter().any(|known| known == what) {
            self.missing.push(what.to_owned());
        }
    }

    pub(crate) fn panel(&mut self, panel: Panel) {
        self.panels.push(panel);
    }

    fn compare(
        &mut self,
        name: &str,
        unit: &'static str,
        ours: &Samples,
        reference: &Samples,
        ratio: f64,
        threshold: Threshold,
    ) {
        self.rows.push(Row {
            name: name.to_owned(),
            unit,
            ours: ours.clone(),
            reference: Ok(reference.clone()),
            ratio: Some(ratio),
            threshold,
        });
    }

    /// The table.
    pub(crate) fn table(&self) -> String {
        let head = ["name", "ours", "reference", "ratio", "threshold", "verdict"].map(str::to_owned);
        let mut lines = vec![head];
        lines.extend(self.rows.iter().map(Row::cells));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..6).map(width).collect();
        let mut text = String::new();
        for (index, line) in lines.iter().enumerate() {
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let _ = match column {
                    0 => write!(text, "| {cell:<width$} "),
                    5 => write!(text, "| {cell:<width$} |"),
                    _ => write!(text, "| {cell:>width$} "),
                };
            }
            text.push('\n');
            if index == 0 {
                let rule = |(column, width): (usize, &usize)| {
                    let end = if (1..5).contains(&column) { ":" } else { "-" };
                    format!("|{}{end}", "-".repeat(width + 1))
                };
                let rules: String = widths.iter().enumerate().map(rule).collect();
                let _ = writeln!(text, "{rules}|");
            }
        }
        let missed = self.rows.iter().filter(|row| row.holds() == Some(false)).count();
        let judged = self.rows.iter().filter(|row| row.holds().is_some()).count();
        let _ = writeln!(text, "\n{} of {judged} thresholds hold", judged - missed);
        for row in self.rows.iter().filter(|row| row.holds() == Some(false)) {
            let _ = writeln!(text, "finding: {}: {}, wanted {}", row.name, row.figure(), row.threshold);
        }
        for missing in &self.missing {
            let _ = writeln!(text, "missing: {missing}");
        }
        text
    }

    /// Writes the list and the picture.
    pub(crate) fn write(&self, json: &Path, picture: &Path) -> std::io::Result<()> {
        for file in [json, picture] {
            if let Some(parent) = file.parent() {
                std::fs::create_dir_all(parent)?;
            }
        }
        let lines: Vec<Line<'_>> = self.rows.iter().map(Row::line).collect();
        std::fs::write(json, serde_json::to_string_pretty(&lines)? + "\n")?;
        std::fs::write(picture, crate::picture::draw(&self.panels))
    }
}

impl Row {
    fn judged(&self) -> Option<f64> {
        if self.reference.is_ok() {
            self.ratio
        } else if matches!(&self.reference, Err(why) if why.is_empty()) {
            Some(self.ours.median())
        } else {
            None
        }
    }

    fn holds(&self) -> Option<bool> {
        let figure = self.judged()?;
        match self.threshold {
            Threshold::AtLeast(limit) => Some(figure >= limit),
            Threshold::AtMost(limit) => Some(figure <= limit),
            Threshold::None => None,
        }
    }

    fn figure(&self) -> String {
        match self.ratio {
            Some(ratio) => format!("{}×", short(ratio)),
            None => format!("{} {}", short(self.ours.median()), self.unit),
        }
    }

    fn cells(&self) -> [String; 6] {
        let reference = match &self.reference {
            Ok(reference) => shown(reference),
            Err(why) => why.clone(),
        };
        let verdict = match self.holds() {
            Some(true) => "holds",
            Some(false) => "MISSED",
            None if matches!(self.threshold, Threshold::None) => "",
            None => "not measured",
        };
        let ratio = self.ratio.map(|ratio| format!("{}×", short(ratio))).unwrap_or_default();
        let name =
            if self.unit.is_empty() { self.name.clone() } else { format!("{} [{}]", self.name, self.unit) };
        [name, shown(&self.ours), reference, ratio, self.threshold.to_string(), verdict.to_owned()]
    }

    fn line(&self) -> Line<'_> {
        let finite = |figure: f64| figure.is_finite().then_some(figure);
        let threshold = self.threshold.to_string();
        Line {
            name: &self.name,
            ours: finite(self.ours.median()),
            reference: self.reference.as_ref().ok().and_then(|samples| finite(samples.median())),
            ratio: self.ratio.and_then(finite),
            threshold: (!threshold.is_empty()).then_some(threshold),
            holds: self.holds(),
        }
    }
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(limit) => write!(f, "≥ {limit}"),
            Self::AtMost(limit) => write!(f, "≤ {limit}"),
            Self::None => Ok(()),
        }
    }
}

/// The median, and the best where there is more than one round.
fn shown(samples: &Samples) -> String {
    if samples.is_empty() {
        return "–".to_owned();
    }
    let (median, best) = (short(samples.median()), short(samples.best()));
    if median == best { median } else { format!("{median} ({best})") }
}

/// Three digits that count.
pub(crate) fn short(figure: f64) -> String {
    match figure.abs() {
        size if size >= 99.95 => format!("{figure:.0}"),
        size if size >= 9.995 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}
