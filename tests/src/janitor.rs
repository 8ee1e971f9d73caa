//! A process that cleans up when this one has not: it outlives Ctrl-C, a kill and statics that are never dropped.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The process. It waits for a word on its standard input; the end of that without one means that its owner is gone.
#[derive(Debug)]
pub(crate) struct Janitor(Child);

impl Janitor {
    /// Starts `script`, for `sh`, which has to begin with `read -r word`; its arguments are `paths`.
    pub(crate) fn new<P: AsRef<Path>>(script: &str, paths: impl IntoIterator<Item = P>) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script, "janitor"]);
        command.args(paths.into_iter().map(|path| path.as_ref().as_os_str().to_owned()));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C on a terminal goes to the whole group, and somebody has to be left to clean up.
        Self(command.process_group(0).spawn().expect("sh runs"))
    }

    /// Says the word and waits for the end: whether the script ended well.
    pub(crate) fn dismiss(&mut self) -> bool {
        if let Some(mut pipe) = self.0.stdin.take() {
            let _ = writeln!(pipe, "done");
        }
        self.0.wait().is_ok_and(|status| status.success())
    }
}
