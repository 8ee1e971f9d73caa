//! A temporary directory that goes when its owner goes, also when the owner is a static or the process is killed.

use std::path::{Path, PathBuf};

use crate::janitor::Janitor;
use crate::places;

/// The pauses are for the children that end at the same moment and may still write.
const JANITOR: &str = r#"
read -r word && exit
for pause in 1 2 5; do
  sleep "$pause"
  rm -rf -- "$1"
done
"#;

/// The directory. With `KEEP` set it stays, and its path is printed.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    janitor: Option<Janitor>,
}

impl Scratch {
    /// A new directory whose name starts with `spark-injector-NAME`.
    pub fn new(name: &str) -> Self {
        let made = tempfile::Builder::new().prefix(&format!("spark-injector-{name}-")).tempdir();
        let path = made.expect("a temporary directory").keep();
        let janitor = if places::keep() {
            eprintln!("kept: {}", path.display());
            None
        } else {
            Some(Janitor::new(JANITOR, [&path]))
        };
        Self { path, janitor }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(janitor) = &mut self.janitor {
            // First this, and then the word: a kill in between leaves the rest to the janitor.
            let _ = std::fs::remove_dir_all(&self.path);
            janitor.dismiss();
        }
    }
}
