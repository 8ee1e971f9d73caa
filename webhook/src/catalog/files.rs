//! From entries of `files` to files: which source, which keys, which paths, which modes.

use init_sync::check_path;

use super::compose::ComposedFiles;
use super::lookup::Lookup;
use super::report::Report;
use super::snapshot::{ObjectData, ObjectKey};
use super::{ProblemKind, Settings, syntax};
use crate::admit::plan::Origin;
use crate::api::{ObjectSource, Role};

/// One mount with its files.
#[derive(Debug)]
pub(super) struct Mount<'s> {
    /// Cleaned path in the Spark container.
    pub(super) path: String,
    /// Whether the path is that of the one file itself.
    pub(super) single: bool,
    pub(super) roles: Vec<Role>,
    /// Whether the content is confidential.
    pub(super) secret: bool,
    pub(super) files: Vec<File<'s>>,
    pub(super) origin: Origin,
}

/// One file below its mount.
#[derive(Debug)]
pub(super) struct File<'s> {
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) content: &'s [u8],
}

/// Permissions of a file where nobody says otherwise.
const DEFAULT_MODE: u32 = 0o444;
/// Permissions of a file from a Secret where nobody says otherwise.
const DEFAULT_SECRET_MODE: u32 = 0o440;

/// Finds the files of every entry; mistakes go to the report, and their entries are left out.
pub(super) fn resolve<'s, 'd: 's>(
    entries: &'s [ComposedFiles],
    lookup: &mut Lookup<'d>,
    settings: &Settings,
    report: &mut Report,
) -> Vec<Mount<'s>> {
    let mut resolver = Resolver { lookup, settings, report };
    entries.iter().filter_map(|entry| resolver.mount(entry)).collect()
}

struct Resolver<'r, 'd> {
    lookup: &'r mut Lookup<'d>,
    settings: &'r Settings,
    report: &'r mut Report,
}

impl<'d> Resolver<'_, 'd> {
    fn mount<'s>(&mut self, composed: &'s ComposedFiles) -> Option<Mount<'s>>
    where
        'd: 's,
    {
        let ComposedFiles { entry, path, .. } = composed;
        let default = if entry.secret.is_some() { DEFAULT_SECRET_MODE } else { DEFAULT_MODE };
        let mode = self.mode(entry.mode.as_deref(), default, path);
        let mut files = self.source(composed, mode)?;
        files.sort_by(|one, other| one.path.cmp(&other.path));
        for pair in files.windows(2) {
            if let [one, other] = pair
                && one.path == other.path
            {
                self.report.at(path, format!("two items have the path {:?}", one.path));
            }
        }
        if let Some(name) = &entry.file {
            let mut names: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
            names.truncate(20);
            files.retain(|file| file.path == *name);
            if files.is_empty() {
                let message = format!("the source has no file {name:?}; it has {}", names.join(", "));
                self.report.kind(ProblemKind::Source, format!("{path}.file"), message);
                return None;
            }
        }
        for file in &mut files {
            if entry.file.is_some() {
                // The mount is the file; what it was called in its source does not matter any more.
                file.path = file.path.rsplit('/').next().unwrap_or_default().to_owned();
            }
            if let Err(error) = check_path(&file.path) {
                self.report.at(path, format!("{:?} cannot be the path of a file: {error}", file.path));
            }
        }
        Some(Mount {
            path: composed.mount_path(),
            single: entry.file.is_some(),
            roles: composed.roles.clone(),
            secret: entry.secret.is_some(),
            files,
            origin: composed.origin.clone(),
        })
    }

    fn mode(&mut self, written: Option<&str>, default: u32, path: &str) -> u32 {
        let Some(written) = written else { return default };
        syntax::parse_mode(written).unwrap_or_else(|| {
            let message = format!("{written:?} is not a mode: write three octal digits, like \"0440\"");
            self.report.at(format!("{path}.mode"), message);
            default
        })
    }

    fn source<'s>(&mut self, composed: &'s ComposedFiles, mode: u32) -> Option<Vec<File<'s>>>
    where
        'd: 's,
    {
        let ComposedFiles { entry, path, .. } = composed;
        match (&entry.config_map, &entry.secret, &entry.directory, &entry.inline) {
            (Some(source), None, None, None) => {
                let data = self.object(source, "ConfigMap", &format!("{path}.configMap"))?;
                Some(self.items(source, data, mode, &format!("{path}.configMap")))
            }
            (None, Some(source), None, None) => {
                let data = self.object(source, "Secret", &format!("{path}.secret"))?;
                Some(self.items(source, data, mode, &format!("{path}.secret")))
            }
            (None, None, Some(source), None) => {
                let found = self.lookup.directory(&source.path);
                let data = self.report.source(format!("{path}.directory.path"), found)?;
                Some(all(data, mode))
            }
            (None, None, None, Some(inline)) => {
                let file = |(name, text): (&String, &'s String)| File {
                    path: name.clone(),
                    mode,
                    content: text.as_bytes(),
                };
                Some(inline.iter().map(file).collect())
            }
            _ => {
                self.report.at(path, "write exactly one of configMap, secret, directory, inline");
                None
            }
        }
    }

    fn object(&mut self, source: &ObjectSource, kind: &str, path: &str) -> Option<&'d ObjectData> {
        let namespace = source.namespace.as_deref().unwrap_or(&self.settings.namespace);
        if namespace != self.settings.namespace
            && !self.settings.source_namespaces.iter().any(|known| known == namespace)
        {
            let message = format!(
                "{namespace:?} is not a namespace of sources; the injector reads {} and what --source-namespace names",
                self.settings.namespace
            );
            self.report.at(format!("{path}.namespace"), message);
            return None;
        }
        let key = ObjectKey { namespace: namespace.to_owned(), name: source.name.clone() };
        let found = if kind == "Secret" { self.lookup.secret(key) } else { self.lookup.config_map(key) };
        self.report.source(format!("{path}.name"), found)
    }

    fn items(&mut self, source: &ObjectSource, data: &'d ObjectData, mode: u32, path: &str) -> Vec<File<'d>> {
        let Some(items) = &source.items else { return all(data, mode) };
        let mut files = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let at = format!("{path}.items[{index}]");
            let mode = self.mode(item.mode.as_deref(), mode, &at);
            if let Some(content) = data.get(&item.key) {
                let path = item.path.clone().unwrap_or_else(|| item.key.clone());
                files.push(File { path, mode, content });
            } else {
                let keys: Vec<&str> = data.keys().take(20).map(String::as_str).collect();
                let message =
                    format!("{} has no key {:?}; it has {}", source.name, item.key, keys.join(", "));
                self.report.kind(ProblemKind::Source, format!("{at}.key"), message);
            }
        }
        files
    }
}

fn all(data: &ObjectData, mode: u32) -> Vec<File<'_>> {
    data.iter().map(|(path, content)| File { path: path.clone(), mode, content }).collect()
}
