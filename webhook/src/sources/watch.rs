//! Keeps a catalog up to date with a directory. Reports what happened; logging it is the caller's part.
//!
//! By polling: kubelet and git-sync swap symlinks above the files, which file watches do not see, and one look a
//! second at names and times costs nothing.

use tracing::debug_span;

use super::digest::Fingerprint;
use super::directory::{Directory, Load, Unreadable};
use super::live::LiveCatalog;
use super::reload::Reload;
use crate::catalog::{Catalog, Problem, Settings};

/// What a look at the inputs found.
#[derive(Debug)]
pub enum Change {
    /// Nothing new.
    None,
    /// Another catalog is in use.
    Reloaded(Reload),
    /// The inputs cannot be read; the last good catalog stays. Reported once for each cause.
    Kept(Unreadable),
}

/// Watches one directory.
#[derive(Debug)]
pub struct Watch {
    directory: Directory,
    settings: Settings,
    catalog: LiveCatalog,
    problems: Vec<Problem>,
    /// Directories below the files root that profiles name.
    directories: Vec<String>,
    digest: [u8; 32],
    seen: Option<Fingerprint>,
    kept: Option<String>,
}

impl Watch {
    /// Reads the inputs for the first time and compiles them.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or parsed: there is no older catalog to stay with.
    pub fn start(directory: Directory, settings: Settings) -> Result<(Self, Reload), Unreadable> {
        let mut watch = Self {
            directory,
            settings,
            catalog: LiveCatalog::default(),
            problems: Vec::new(),
            directories: Vec::new(),
            digest: [0; 32],
            seen: None,
            kept: None,
        };
        let seen = watch.directory.fingerprint(&[]);
        let load = watch.load()?;
        let reload = watch.compile(load, None);
        // Without the files root: the next look reads once more, and from then on the fingerprint is whole.
        watch.seen = Some(seen);
        Ok((watch, reload))
    }

    /// The catalog, as it is swapped.
    pub fn catalog(&self) -> LiveCatalog {
        self.catalog.clone()
    }

    /// Looks whether something changed, and compiles everything again if it did.
    pub fn poll(&mut self) -> Change {
        self.catalog.tidy();
        let found = self.directory.fingerprint(&self.directories);
        if self.seen == Some(found) && found.is_settled() {
            // Also where what could not be read has gone again.
            self.kept = None;
            return Change::None;
        }
        // Files that are brand new are looked at for seconds; that must not take the memory of parsing them.
        if self.digest_inputs() == Some(self.digest) {
            self.kept = None;
            self.seen = Some(found);
            return Change::None;
        }
        match self.load() {
            Ok(load) => {
                self.kept = None;
                let previous = self.catalog.load_full();
                let reload = self.compile(load, Some(&previous));
                // Noted only now: what could not be read or compiled is looked at again, whatever the fingerprint says.
                self.seen = Some(found);
                Change::Reloaded(reload)
            }
            Err(unreadable) => {
                let text = unreadable.to_string();
                if self.kept.as_ref() == Some(&text) {
                    return Change::None;
                }
                self.kept = Some(text);
                Change::Kept(unreadable)
            }
        }
    }

    /// Whether the last look found inputs that cannot be read.
    pub fn is_behind(&self) -> bool {
        self.kept.is_some()
    }

    fn digest_inputs(&self) -> Option<[u8; 32]> {
        debug_span!("digest_inputs").in_scope(|| self.directory.digest(&self.directories))
    }

    fn load(&self) -> Result<Load, Unreadable> {
        debug_span!("read_inputs").in_scope(|| self.directory.load())
    }

    fn compile(&mut self, load: Load, previous: Option<&Catalog>) -> Reload {
        let Load { snapshot, problems: mut found, digest, .. } = load;
        let compile = || Catalog::compile(&snapshot, &self.settings, previous);
        let catalog = debug_span!("compile").in_scope(compile);
        found.extend_from_slice(catalog.problems());
        let previous = previous.map(|previous| (previous, self.problems.as_slice()));
        let reload = Reload::between(previous, (&catalog, &found));
        self.directories = snapshot.directories.into_keys().collect();
        self.problems = found;
        self.digest = digest;
        self.catalog.store(catalog);
        reload
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;

    fn start(path: &Path) -> Watch {
        let directory = Directory {
            from: vec![path.to_owned()],
            files_root: Some(path.to_owned()),
            default_namespace: "own".to_owned(),
        };
        Watch::start(directory, Settings::default()).unwrap().0
    }

    #[test]
    fn a_change_is_seen_whatever_its_size_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "{apiVersion: v1, kind: Namespace, metadata: {name: aa}}").unwrap();
        let mut watch = start(folder.path());
        assert!(matches!(watch.poll(), Change::None));
        let time = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, "{apiVersion: v1, kind: Namespace, metadata: {name: bb}}").unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        assert!(matches!(watch.poll(), Change::Reloaded(_)));
        assert!(matches!(watch.poll(), Change::None));
    }

    #[test]
    fn a_broken_file_keeps_the_catalog_and_is_reported_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        let good = "{apiVersion: v1, kind: Namespace, metadata: {name: a}}";
        fs::write(&file, good).unwrap();
        let mut watch = start(folder.path());
        let before = watch.catalog().load_full();
        fs::write(&file, "a: [").unwrap();
        let Change::Kept(unreadable) = watch.poll() else { panic!("not kept") };
        assert!(unreadable.to_string().contains("a.yaml"), "{unreadable}");
        assert!(matches!(watch.poll(), Change::None));
        assert!(Arc::ptr_eq(&before, &watch.catalog().load_full()));
        fs::write(&file, good).unwrap();
        assert!(watch.is_behind());
        assert!(matches!(watch.poll(), Change::None), "what is in use is back");
        assert!(!watch.is_behind());

        // A file that comes and goes leaves the others as they were seen.
        let other = folder.path().join("b.yaml");
        fs::write(&other, "a: [").unwrap();
        assert!(matches!(watch.poll(), Change::Kept(_)));
        fs::remove_file(&other).unwrap();
        assert!(matches!(watch.poll(), Change::None));
        assert!(!watch.is_behind());
    }

    #[test]
    fn mistakes_that_come_and_go_are_reported() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "{}").unwrap();
        let mut watch = start(folder.path());
        fs::write(&file, "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {k: '?'}}").unwrap();
        let Change::Reloaded(reload) = watch.poll() else { panic!("not reloaded") };
        assert!(reload.appeared.iter().any(|problem| problem.to_string().contains("base64")), "{reload:?}");
        assert_eq!(reload.resolved.len(), 1, "{reload:?}");
    }
}
