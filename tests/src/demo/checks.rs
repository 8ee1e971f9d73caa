//! What the demo claims, each claim with its verdict. Nothing is printed as done that was not looked at.

use std::fmt::Debug;

/// The claims so far.
#[derive(Debug, Default)]
pub(super) struct Checks {
    count: usize,
    failures: Vec<String>,
}

impl Checks {
    /// A claim. The text says what is wrong when it does not hold.
    pub(super) fn holds(&mut self, truth: bool, otherwise: impl FnOnce() -> String) {
        self.count += 1;
        if !truth {
            self.failures.push(otherwise());
        }
    }

    /// A claim that two values are equal.
    pub(super) fn equal<T: PartialEq + Debug + ?Sized>(&mut self, what: &str, found: &T, expected: &T) {
        self.holds(found == expected, || format!("{what}: found {found:?}, expected {expected:?}"));
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn failures(&self) -> &[String] {
        &self.failures
    }
}
