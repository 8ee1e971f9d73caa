//! Directories that profiles name below the operator's files root, read whole and never beyond the root.
//!
//! The trees come from git-sync, CSI drivers and kubelet: visible names are symlinks through `..data` or a hash, so
//! symlinks are followed, but only to places inside the root.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::references;
use crate::catalog::{ObjectData, Snapshot};

/// Largest file: four times what a revision can carry, so that the compiler's message about sizes comes first.
const FILE_LIMIT: u64 = 4 * 1024 * 1024;

/// Largest directory in all.
const TOTAL_LIMIT: u64 = 16 * 1024 * 1024;

/// Most entries, files or not: a path that was meant for something else must not be walked for minutes.
pub(super) const ENTRY_LIMIT: usize = 10_000;

/// Deepest nesting; it also ends symlinks that lead in circles.
pub(super) const DEPTH_LIMIT: usize = 32;

/// Reads every directory that a profile of the snapshot names.
pub(super) fn read_directories(root: Option<&Path>, snapshot: &mut Snapshot) {
    let named = snapshot.profiles.iter().flat_map(|profile| references::directories(&profile.object));
    let paths: BTreeSet<String> = named.map(ToOwned::to_owned).collect();
    for path in paths {
        snapshot.directories.entry(path).or_insert_with_key(|path| read_directory(root, path).map(Arc::new));
    }
}

/// Reads one directory, as a profile names it.
///
/// # Errors
///
/// A sentence that names the directory and what is wrong with it.
pub(super) fn read_directory(root: Option<&Path>, path: &str) -> Result<ObjectData, String> {
    let root = root
        .ok_or_else(|| format!("directory `{path}` needs the flag --files-root DIR, which is not given"))?;
    if !stays_below(path) {
        return Err(format!(
            "directory `{path}` would leave the files root: write a relative path without `..`"
        ));
    }
    let root = fs::canonicalize(root).map_err(|error| format!("files root {}: {error}", root.display()))?;
    let mut walk = Walk { root: &root, path, found: ObjectData::new(), total: 0, entries: 0 };
    let top = walk.inside(&root.join(path), "")?;
    if !top.is_dir() {
        return Err(format!("`{path}` below the files root is not a directory"));
    }
    walk.directory(&top, "", 0)?;
    Ok(walk.found)
}

/// Whether a directory that a profile names lies below the files root, as far as its path tells.
pub(super) fn stays_below(path: &str) -> bool {
    let stays = |component| matches!(component, Component::Normal(_) | Component::CurDir);
    !path.is_empty() && Path::new(path).components().all(stays)
}

struct Walk<'w> {
    root: &'w Path,
    path: &'w str,
    found: ObjectData,
    total: u64,
    entries: usize,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Path, below: &str, depth: usize) -> Result<(), String> {
        if depth > DEPTH_LIMIT {
            return Err(self.failed(
                below,
                &format!("more than {DEPTH_LIMIT} directories deep; is a symlink circular?"),
            ));
        }
        let entries = fs::read_dir(directory).map_err(|error| self.failed(below, &error.to_string()))?;
        for entry in entries {
            let entry = entry.map_err(|error| self.failed(below, &error.to_string()))?;
            self.entries += 1;
            if self.entries > ENTRY_LIMIT {
                return Err(self.failed("", &format!("more than {ENTRY_LIMIT} entries")));
            }
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(self.failed(below, "holds a name that is not UTF-8"));
            };
            if name.starts_with("..") {
                continue;
            }
            let shown = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            let target = self.inside(&entry.path(), &shown)?;
            let metadata = fs::metadata(&target).map_err(|error| self.failed(&shown, &error.to_string()))?;
            if metadata.is_dir() {
                self.directory(&target, &shown, depth + 1)?;
            } else if metadata.is_file() {
                let contents = self.file(&target, &shown)?;
                self.found.insert(shown, contents);
            } else {
                return Err(self.failed(&shown, "neither a file nor a directory"));
            }
        }
        Ok(())
    }

    /// Where a path really leads, if that is inside the root.
    fn inside(&self, path: &Path, shown: &str) -> Result<PathBuf, String> {
        let target = fs::canonicalize(path).map_err(|error| self.failed(shown, &error.to_string()))?;
        if target.starts_with(self.root) {
            Ok(target)
        } else {
            Err(self.failed(shown, "a symlink leads out of the files root"))
        }
    }

    fn file(&mut self, target: &Path, shown: &str) -> Result<Vec<u8>, String> {
        let mut contents = Vec::new();
        File::open(target)
            .and_then(|file| file.take(FILE_LIMIT + 1).read_to_end(&mut contents))
            .map_err(|error| self.failed(shown, &error.to_string()))?;
        let size = contents.len() as u64;
        if size > FILE_LIMIT {
            return Err(self.failed(shown, &format!("larger than {FILE_LIMIT} bytes")));
        }
        self.total += size;
        if self.total > TOTAL_LIMIT {
            return Err(self.failed("", &format!("larger than {TOTAL_LIMIT} bytes in all")));
        }
        Ok(contents)
    }

    fn failed(&self, shown: &str, reason: &str) -> String {
        let place = if shown.is_empty() { self.path.to_owned() } else { format!("{}/{shown}", self.path) };
        format!("`{place}` below the files root: {reason}")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;
    use crate::catalog::ProfileInput;

    fn read(root: &Path, path: &str) -> Result<ObjectData, String> {
        read_directory(Some(root), path)
    }

    #[test]
    fn a_mounted_volume_is_read_through_its_links() {
        let root = tempfile::tempdir().unwrap();
        let hadoop = root.path().join("hadoop");
        fs::create_dir_all(hadoop.join("..2026/sub")).unwrap();
        fs::write(hadoop.join("..2026/core-site.xml"), "<x/>").unwrap();
        fs::write(hadoop.join("..2026/sub/.hidden"), [0, 255]).unwrap();
        symlink("..2026", hadoop.join("..data")).unwrap();
        symlink("..data/core-site.xml", hadoop.join("core-site.xml")).unwrap();
        symlink("..data/sub", hadoop.join("sub")).unwrap();
        let found = read(root.path(), "hadoop").unwrap();
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(names, ["core-site.xml", "sub/.hidden"]);
        assert_eq!(found["sub/.hidden"], [0, 255]);
    }

    #[test]
    fn nothing_outside_the_root_is_read() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("shadow"), "x").unwrap();
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("d")).unwrap();
        for path in ["..", "../d", "d/../..", "/etc", ""] {
            let error = read(root.path(), path).unwrap_err();
            assert!(error.contains("would leave the files root"), "{path}: {error}");
        }
        symlink(outside.path().join("shadow"), root.path().join("d/link")).unwrap();
        let error = read(root.path(), "d").unwrap_err();
        assert_eq!(error, "`d/link` below the files root: a symlink leads out of the files root");
        symlink(outside.path(), root.path().join("e")).unwrap();
        assert!(read(root.path(), "e").unwrap_err().contains("leads out"));
    }

    #[test]
    fn what_is_not_a_tree_of_files_is_refused() {
        let root = tempfile::tempdir().unwrap();
        assert!(read(root.path(), "none").unwrap_err().contains("`none` below the files root"));
        fs::write(root.path().join("file"), "x").unwrap();
        assert!(read(root.path(), "file").unwrap_err().contains("not a directory"));
        fs::create_dir(root.path().join("circle")).unwrap();
        symlink(".", root.path().join("circle/again")).unwrap();
        assert!(read(root.path(), "circle").unwrap_err().contains("circular"));
        fs::create_dir(root.path().join("socket")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket/s")).unwrap();
        assert!(read(root.path(), "socket").unwrap_err().contains("neither a file nor a directory"));
        fs::create_dir(root.path().join("large")).unwrap();
        File::create(root.path().join("large/f")).unwrap().set_len(FILE_LIMIT + 1).unwrap();
        assert!(read(root.path(), "large").unwrap_err().contains("larger than"));
    }

    #[test]
    fn the_directories_of_all_profiles_are_read() {
        let object =
            json!({"spec": {"files": [{"directory": {"path": "hadoop"}}, {"inline": {}}, {"directory": 1}]}});
        let mut snapshot = Snapshot::default();
        snapshot.profiles.push(ProfileInput {
            origin: "a".to_owned(),
            object: object.into(),
            delivered: None,
        });
        read_directories(None, &mut snapshot);
        let error = snapshot.directories["hadoop"].as_ref().unwrap_err();
        assert!(error.contains("--files-root"), "{error}");
    }
}
