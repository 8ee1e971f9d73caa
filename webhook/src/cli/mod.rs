//! The shell `cli`.
