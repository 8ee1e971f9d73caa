//! The shell `sources`.
