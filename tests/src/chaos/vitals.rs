//! Memory and descriptors of a process, as the kernel counts them.

use std::path::PathBuf;

/// What a process holds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Vitals {
    /// Resident memory in KiB.
    pub resident: u64,
    /// The most that it has been.
    pub peak: u64,
    /// Open descriptors.
    pub descriptors: usize,
}

impl Vitals {
    /// Of this process, now; all zero when it is gone.
    pub fn of(id: u32) -> Self {
        let file = |name: &str| -> PathBuf { ["/proc", &id.to_string(), name].iter().collect() };
        let status = std::fs::read_to_string(file("status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        let descriptors = std::fs::read_dir(file("fd")).map_or(0, Iterator::count);
        Self { resident: field("VmRSS:"), peak: field("VmHWM:"), descriptors }
    }

    /// Resident memory in MiB.
    pub fn mebibytes(&self) -> u64 {
        self.resident / 1024
    }

    /// The most that it has been, in MiB.
    pub fn peak_mebibytes(&self) -> u64 {
        self.peak / 1024
    }
}
