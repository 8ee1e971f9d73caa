//! A folder of golden files: compared, or written anew where `REFRESH_GOLDEN` is set. A file that nobody asked for is
//! stale, and fails as a difference does.

use std::collections::BTreeSet;
use std::path::PathBuf;

use acceptance::places;
use similar::TextDiff;

const REFRESH: &str =
    "REFRESH_GOLDEN=1 cargo test -p acceptance --test acceptance golden   (or: make golden)";

/// One folder below `tests/golden`. Ask for every file, then [`GoldenFiles::finish`].
pub(crate) struct GoldenFiles {
    folder: PathBuf,
    refresh: bool,
    asked: BTreeSet<String>,
    problems: Vec<String>,
}

impl GoldenFiles {
    pub(crate) fn new(name: &str) -> Self {
        Self::at(places::repository().join("tests/golden").join(name), places::refresh_golden())
    }

    fn at(folder: PathBuf, refresh: bool) -> Self {
        std::fs::create_dir_all(&folder).expect("a folder for golden files");
        Self { folder, refresh, asked: BTreeSet::new(), problems: Vec::new() }
    }

    /// Compares with, or writes, the file of this name.
    pub(crate) fn check(&mut self, name: &str, text: &str) {
        let file = format!("{name}.yaml");
        let path = self.folder.join(&file);
        self.asked.insert(file);
        let known = std::fs::read_to_string(&path);
        if known.as_deref().is_ok_and(|known| known == text) {
            return;
        }
        if self.refresh {
            std::fs::write(&path, text).expect("a golden file");
            return;
        }
        self.problems.push(match known {
            Ok(known) => {
                let diff = TextDiff::from_lines(known.as_str(), text);
                let header = (format!("{} golden", path.display()), format!("{} now", path.display()));
                diff.unified_diff().context_radius(3).header(&header.0, &header.1).to_string()
            }
            Err(_) => format!("{} is missing", path.display()),
        });
    }

    /// What failed while a text was made.
    pub(crate) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// # Panics
    /// With every difference, and with the command that accepts them.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        for entry in std::fs::read_dir(&self.folder).expect("the folder") {
            let entry = entry.expect("an entry");
            if self.asked.contains(entry.file_name().to_string_lossy().as_ref()) {
                continue;
            }
            if self.refresh {
                std::fs::remove_file(entry.path()).expect("a stale file");
            } else {
                self.problems.push(format!("{} is stale: nothing makes it", entry.path().display()));
            }
        }
        assert!(
            self.problems.is_empty(),
            "{}\n{} golden files differ. If that is as it should be:\n  {REFRESH}",
            self.problems.join("\n"),
            self.problems.len()
        );
    }
}

#[test]
fn golden_files_that_differ_are_missing_or_stale_fail_and_are_refreshed() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |refresh: bool, text: &str| {
        let mut files = GoldenFiles::at(folder.path().to_owned(), refresh);
        files.check("one", text);
        std::panic::catch_unwind(|| files.finish())
            .map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
    };
    let missing = check(false, "a\nb\n").expect_err("missing");
    assert!(missing.contains("one.yaml is missing") && missing.contains("REFRESH_GOLDEN=1"), "{missing}");
    check(true, "a\nb\n").expect("written");
    check(false, "a\nb\n").expect("the same");
    let different = check(false, "a\nc\n").expect_err("different");
    assert!(different.contains("-b\n+c\n"), "{different}");
    std::fs::write(folder.path().join("two.yaml"), "").expect("a file");
    let stale = check(false, "a\nb\n").expect_err("stale");
    assert!(stale.contains("two.yaml is stale"), "{stale}");
    check(true, "a\nb\n").expect("removed");
    assert!(!folder.path().join("two.yaml").exists());
}
