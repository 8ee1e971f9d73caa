//! The shell `server`.
