//! What a check found, and how all of it is shown.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// How a check ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// As it should be.
    Passed,
    /// Not as it should be; there is a remedy.
    Failed,
    /// Nobody can tell, or there is nothing to tell.
    Skipped,
}

/// One line of the table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Finding {
    /// What was looked at, a word of a closed set.
    pub(super) check: &'static str,
    /// Of what, where there are several.
    pub(super) subject: String,
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) detail: String,
    /// What to do; empty unless it failed.
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn passed(check: &'static str, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(check, subject, Verdict::Passed, detail, "")
    }

    pub(super) fn failed(
        check: &'static str,
        subject: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(check, subject, Verdict::Failed, detail, remedy)
    }

    pub(super) fn skipped(
        check: &'static str,
        subject: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(check, subject, Verdict::Skipped, detail, "")
    }

    fn new(
        check: &'static str,
        subject: impl Into<String>,
        verdict: Verdict,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { check, subject: subject.into(), verdict, detail: detail.into(), remedy: remedy.into() }
    }
}

/// Which lines are written. All are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shown {
    All,
    Failed,
}

impl Shown {
    fn has(self, finding: &Finding) -> bool {
        self == Self::All || finding.verdict == Verdict::Failed
    }
}

/// Everything that was found, in the order of the chain.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    pub(super) fn put(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub(super) fn put_all(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.0.extend(findings);
    }

    pub(super) fn is_good(&self) -> bool {
        self.count(Verdict::Failed) == 0
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.0.iter().filter(|finding| finding.verdict == verdict).count()
    }

    /// A table; where the terminal does not know the marks, words stand for them.
    pub(super) fn text(&self, unicode: bool, shown: Shown) -> String {
        let lines: Vec<&Finding> = self.0.iter().filter(|finding| shown.has(finding)).collect();
        let name = |finding: &Finding| {
            format!("{} {}", finding.check.replace('_', " "), finding.subject).trim_end().to_owned()
        };
        // Up to a width at which the details of ordinary names stand below each other.
        let width =
            lines.iter().map(|finding| name(finding).chars().count()).max().unwrap_or_default().min(48);
        let mut text = String::new();
        for finding in lines {
            let mark = mark(finding.verdict, unicode);
            let line = format!("{mark} {:width$}  {}", name(finding), finding.detail);
            text.push_str(line.trim_end());
            text.push('\n');
            if !finding.remedy.is_empty() {
                let arrow = if unicode { "→" } else { "->" };
                let indent = mark.chars().count() + 1;
                let _ = writeln!(text, "{:indent$}{arrow} {}", "", finding.remedy);
            }
        }
        let [passed, failed, skipped] = self.counts();
        let _ = writeln!(text, "{passed} passed, {failed} failed, {skipped} not checked");
        text
    }

    pub(super) fn json(&self, shown: Shown) -> Value {
        let [passed, failed, skipped] = self.counts();
        let findings = self.0.iter().filter(|finding| shown.has(finding)).map(|finding| {
            json!({
                "check": finding.check,
                "subject": finding.subject,
                "verdict": word(finding.verdict),
                "detail": finding.detail,
                "remedy": finding.remedy,
            })
        });
        json!({
            "good": self.is_good(),
            "passed": passed,
            "failed": failed,
            "skipped": skipped,
            "findings": findings.collect::<Vec<_>>(),
        })
    }

    fn counts(&self) -> [usize; 3] {
        [Verdict::Passed, Verdict::Failed, Verdict::Skipped].map(|verdict| self.count(verdict))
    }
}

fn mark(verdict: Verdict, unicode: bool) -> &'static str {
    match (verdict, unicode) {
        (Verdict::Passed, true) => "✓",
        (Verdict::Failed, true) => "✗",
        (Verdict::Skipped, true) => "–",
        (Verdict::Passed, false) => "ok  ",
        (Verdict::Failed, false) => "FAIL",
        (Verdict::Skipped, false) => "-   ",
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Skipped => "skipped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report(vec![
            Finding::passed("definition", "", "as this version knows it"),
            Finding::failed("ca_bundle", "pods", "empty", "restart it"),
            Finding::skipped("certificate", "", "not reachable from here"),
        ])
    }

    #[test]
    fn the_table_says_what_to_do() {
        let expected = "✓ definition      as this version knows it\n✗ ca bundle pods  empty\n  → restart it\n\
            – certificate     not reachable from here\n1 passed, 1 failed, 1 not checked\n";
        assert_eq!(report().text(true, Shown::All), expected);
        let plain = report().text(false, Shown::All);
        assert!(plain.contains("FAIL ca bundle pods  empty\n     -> restart it\n"));
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        let expected = "✗ ca bundle pods  empty\n  → restart it\n1 passed, 1 failed, 1 not checked\n";
        assert_eq!(report().text(true, Shown::Failed), expected);
        let json = report().json(Shown::Failed);
        assert_eq!((&json["passed"], &json["findings"][0]["check"]), (&json!(1), &json!("ca_bundle")));
        assert_eq!(json["findings"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn one_failure_is_enough() {
        assert!(!report().is_good());
        assert!(Report::default().is_good());
        assert_eq!(report().json(Shown::All)["findings"][1]["verdict"], "failed");
    }
}
