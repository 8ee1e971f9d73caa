//! Reads folders and files of YAML and JSON, as they would be applied to a cluster, into a snapshot.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::digest::{Digest, Fingerprint, Stamps};
use super::document::{self, Format, TEXT_LIMIT};
use super::files_root;
use super::objects::Collector;
use crate::catalog::{Problem, ProblemKind, Snapshot};

/// Deepest nesting of folders; it also ends symlinks that lead in circles.
const DEPTH_LIMIT: usize = 32;

/// Most files: a path that was meant for something else must not be read for minutes.
const FILE_COUNT_LIMIT: usize = 20_000;

/// Where the inputs are.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Folders and files, in the order in which they are read.
    pub from: Vec<PathBuf>,
    /// Where the directories are that profiles name.
    pub files_root: Option<PathBuf>,
    /// Namespace of `ConfigMaps` and Secrets that name none.
    pub default_namespace: String,
}

/// What one reading found.
#[derive(Debug)]
pub struct Load {
    /// The inputs of the compiler.
    pub snapshot: Snapshot,
    /// Documents that cannot be used, in the order in which they were read.
    pub problems: Vec<Problem>,
    /// Documents of kinds that are not ours.
    pub warnings: Vec<Problem>,
    /// Number of files that were read.
    pub files: usize,
    /// Digest of everything that was read: equal for equal inputs.
    pub digest: [u8; 32],
}

/// Files that cannot be read or parsed at all; every one of them, not only the first.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Unreadable(pub Vec<Problem>);

impl Directory {
    /// Reads everything.
    ///
    /// # Errors
    ///
    /// When a path does not exist, cannot be read, or a file cannot be parsed. A document that parses and is of no
    /// use is a problem of the [`Load`] instead.
    pub fn load(&self) -> Result<Load, Unreadable> {
        let taken = SystemTime::now();
        let mut unreadable = Vec::new();
        let mut collector = Collector::new(&self.default_namespace);
        let mut digest = Digest::default();
        let files = self.list(&mut unreadable);
        for path in &files {
            match read(path).and_then(|text| Ok((document::parse(&text, format_of(path))?, text))) {
                Ok((documents, text)) => {
                    digest.file(path, &text);
                    let alone = documents.len() == 1;
                    for (index, document) in documents.iter().enumerate() {
                        let origin = path.display();
                        let origin =
                            if alone { origin.to_string() } else { format!("{origin}#{}", index + 1) };
                        collector.take(&origin, document);
                    }
                }
                Err(message) => unreadable.push(problem(path, message)),
            }
        }
        if !unreadable.is_empty() {
            return Err(Unreadable(unreadable));
        }
        let Collector { mut snapshot, problems, warnings, .. } = collector;
        snapshot.taken = taken;
        files_root::read_directories(self.files_root.as_deref(), &mut snapshot);
        for (name, found) in &snapshot.directories {
            digest.directory(name, found.as_deref());
        }
        Ok(Load { snapshot, problems, warnings, files: files.len(), digest: digest.finish() })
    }

    /// The digest that `load` would find if the profiles named these directories. It reads everything and parses
    /// nothing. `None` where a file cannot be read.
    pub(super) fn digest(&self, directories: &[String]) -> Option<[u8; 32]> {
        let mut digest = Digest::default();
        let mut unreadable = Vec::new();
        for path in self.list(&mut unreadable) {
            digest.file(&path, &read(&path).ok()?);
        }
        for name in directories {
            let found = files_root::read_directory(self.files_root.as_deref(), name);
            digest.directory(name, found.as_ref());
        }
        unreadable.is_empty().then(|| digest.finish())
    }

    /// What the file system says about everything that `load` would read, if the profiles named these directories.
    pub(super) fn fingerprint(&self, directories: &[String]) -> Fingerprint {
        let mut stamps = Stamps::default();
        for path in self.list(&mut Vec::new()) {
            stamps.file(&path);
        }
        if let Some(root) = &self.files_root {
            for directory in directories {
                stamps.tree(root, directory);
            }
        }
        stamps.finish()
    }

    fn list(&self, unreadable: &mut Vec<Problem>) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for path in &self.from {
            // A file that is named on the command line is read whatever its name.
            let listed = match fs::metadata(path) {
                Ok(metadata) if metadata.is_dir() => list_folder(path, 0, &mut files),
                Ok(_) => {
                    files.push(path.clone());
                    Ok(())
                }
                Err(error) => Err(problem(path, error.to_string())),
            };
            if let Err(problem) = listed {
                unreadable.push(problem);
            }
        }
        files
    }
}

/// Lists a folder in the order of the names, so that messages and precedence do not depend on the file system.
fn list_folder(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Problem> {
    if depth > DEPTH_LIMIT {
        let message = format!("more than {DEPTH_LIMIT} folders deep; is a symlink circular?");
        return Err(problem(folder, message));
    }
    let failed = |error: std::io::Error| problem(folder, error.to_string());
    let mut names = fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    names.sort();
    for name in names {
        // Hidden names are editors' and git's; kubelet's `..data` holds what the visible links lead to.
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = folder.join(&name);
        let metadata = fs::metadata(&path).map_err(|error| problem(&path, error.to_string()))?;
        if metadata.is_dir() {
            list_folder(&path, depth + 1, files)?;
        } else if has_our_extension(&path) {
            if !metadata.is_file() {
                return Err(problem(
                    &path,
                    "neither a file nor a folder; name it with --from itself".to_owned(),
                ));
            }
            files.push(path);
        }
        if files.len() > FILE_COUNT_LIMIT {
            return Err(problem(folder, format!("more than {FILE_COUNT_LIMIT} files")));
        }
    }
    Ok(())
}

fn has_our_extension(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}

fn format_of(path: &Path) -> Format {
    if path.extension().is_some_and(|extension| extension == "json") { Format::Json } else { Format::Yaml }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    File::open(path)
        // One byte more than the limit, so that the parser refuses what is larger.
        .and_then(|file| file.take(TEXT_LIMIT as u64 + 1).read_to_end(&mut text))
        .map_err(|error| error.to_string())?;
    Ok(text)
}

fn problem(path: &Path, message: String) -> Problem {
    Problem {
        kind: ProblemKind::Invalid,
        origin: path.display().to_string(),
        subject: String::new(),
        path: String::new(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const NAMESPACE: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: NAME}}\n";

    fn directory(path: &Path) -> Directory {
        Directory { from: vec![path.to_owned()], files_root: None, default_namespace: "own".to_owned() }
    }

    fn namespace(name: &str) -> String {
        NAMESPACE.replace("NAME", name)
    }

    #[test]
    fn folders_are_read_in_order_and_hidden_names_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for sub in ["b", ".git", "..v"] {
            fs::create_dir(path.join(sub)).unwrap();
            fs::write(path.join(sub).join("x.yaml"), namespace(sub.trim_start_matches('.'))).unwrap();
        }
        fs::write(path.join("a.json"), r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}"#)
            .unwrap();
        fs::write(path.join("c.yml"), format!("{}---\n{}", namespace("c1"), namespace("c2"))).unwrap();
        fs::write(path.join("README.md"), ": not : yaml :").unwrap();
        symlink("..v", path.join("..data")).unwrap();
        symlink("..data/x.yaml", path.join("d.yaml")).unwrap();
        let load = directory(path).load().unwrap();
        let origins: Vec<(&str, &str)> = load
            .snapshot
            .namespaces
            .iter()
            .map(|(name, input)| (name.as_str(), input.origin.strip_prefix(path.to_str().unwrap()).unwrap()))
            .collect();
        let expected =
            [("a", "/a.json"), ("b", "/b/x.yaml"), ("c1", "/c.yml#1"), ("c2", "/c.yml#2"), ("v", "/d.yaml")];
        assert_eq!(origins, expected);
        assert_eq!(load.files, 4);
    }

    #[test]
    fn every_unreadable_file_is_named_at_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), "a: [").unwrap();
        fs::write(folder.path().join("b.json"), "{").unwrap();
        let mut inputs = directory(folder.path());
        inputs.from.push(folder.path().join("none"));
        let said = inputs.load().unwrap_err().to_string();
        assert_eq!(said.lines().count(), 3, "{said}");
        for name in ["a.yaml", "b.json", "none"] {
            assert!(said.contains(name), "{said}");
        }
    }

    #[test]
    fn what_looks_like_a_file_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("a.yaml")).unwrap();
        let said = directory(folder.path()).load().unwrap_err().to_string();
        assert!(said.contains("/a.yaml: neither a file nor a folder"), "{said}");
    }

    #[test]
    fn the_digest_follows_the_content_and_takes_no_parsing() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("files");
        fs::create_dir(&files).unwrap();
        fs::write(files.join("core-site.xml"), "<x/>").unwrap();
        let mut inputs = directory(&folder.path().join("a.yaml"));
        inputs.files_root = Some(folder.path().to_owned());
        let profile = "{apiVersion: spark-injector.io/v1alpha1, kind: SparkProfile, metadata: {name: p},
            spec: {files: [{directory: {path: PATH}}]}}";
        let write = |path| fs::write(&inputs.from[0], profile.replace("PATH", path)).unwrap();
        let loaded = || inputs.load().unwrap().digest;
        for path in ["none", "files"] {
            write(path);
            assert_eq!(inputs.digest(&[path.to_owned()]), Some(loaded()), "{path}");
        }
        let before = loaded();
        fs::write(files.join("core-site.xml"), "<y/>").unwrap();
        assert_ne!(loaded(), before);
        let before = loaded();
        write("none");
        assert_ne!(loaded(), before);
        assert_eq!(directory(&folder.path().join("b.yaml")).digest(&[]), None);
    }
}
