//! The compiler: what becomes of profiles, sources and namespaces, and what is said about mistakes in them.

mod claims;
mod composition;
mod delivery;
mod errors;
mod incremental;
mod isolation;
mod limits;
mod payload;
mod sources;
mod templates;

/// A message about a mistake names file, profile, field and what is allowed.
#[track_caller]
fn says(problem: &str, parts: &[&str]) {
    for part in parts {
        assert!(problem.contains(part), "{part} in {problem}");
    }
}
