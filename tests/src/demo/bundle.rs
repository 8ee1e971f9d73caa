//! The owner's documents: a copy of `examples/platform`, and what it says about files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use acceptance::places;

/// Where the bundle is in the repository, for the reader.
pub(super) const SHOWN: &str = "examples/platform";

/// The profiles in the order in which they are laid on top of each other.
const PROFILES: [&str; 2] = ["platform-base", "team-a"];

/// The bundle.
#[derive(Debug)]
pub(super) struct Bundle {
    directory: PathBuf,
    documents: Vec<Value>,
}

/// An entry of `files` in a profile.
#[derive(Debug)]
pub(super) struct Entry {
    /// As a message names it: `team-a: spec.files[3]`.
    pub(super) origin: String,
    /// As a person names where the files come from: `ConfigMap krb5`.
    pub(super) source: String,
    /// The mode that the files get.
    pub(super) mode: u32,
    /// Name and content of each file.
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    /// Copies the bundle: nobody who edits it meanwhile changes what the demo shows.
    pub(super) fn copy_to(directory: PathBuf) -> Self {
        let from = places::repository().join(SHOWN);
        let mut documents = Vec::new();
        let entries = std::fs::read_dir(&from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        for entry in entries {
            let path = entry.expect("an entry").path();
            let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|ext| ext == "yaml"))
            else {
                continue;
            };
            let text = std::fs::read_to_string(&path).expect("a readable file");
            let parsed = serde_saphyr::from_multiple::<Value>(&text);
            documents.extend(parsed.unwrap_or_else(|error| panic!("{}: {error}", path.display())));
            std::fs::copy(&path, directory.join(name)).expect("a copy");
        }
        Self { directory, documents }
    }

    /// The copy.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The copy, as an argument.
    pub(super) fn argument(&self) -> &str {
        self.directory.to_str().expect("a path in UTF-8")
    }

    /// The document of this kind and name.
    pub(super) fn find(&self, kind: &str, name: &str) -> &Value {
        let found = self.documents.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("{SHOWN} has no {kind} {name}"))
    }

    /// How many documents of this kind there are.
    pub(super) fn count(&self, kind: &str) -> usize {
        self.documents.iter().filter(|document| document["kind"] == kind).count()
    }

    /// The `PriorityClasses` that variants name, by variant.
    pub(super) fn priority_classes(&self) -> BTreeMap<String, String> {
        let mut classes = BTreeMap::new();
        for profile in PROFILES {
            let variants = self.find("SparkProfile", profile)["spec"]["variants"].as_object();
            for (variant, overlay) in variants.into_iter().flatten() {
                let class = &overlay["template"]["spec"]["priorityClassName"];
                classes.extend(class.as_str().map(|class| (variant.clone(), class.to_owned())));
            }
        }
        classes
    }

    /// What the profiles say about a mount path of a role.
    pub(super) fn entry(&self, mount_path: &str, role: &str) -> Option<Entry> {
        let mut found = None;
        for profile in PROFILES {
            let files = self.find("SparkProfile", profile)["spec"]["files"].as_array();
            for (index, file) in files.into_iter().flatten().enumerate() {
                let secret = file["secret"].is_object();
                let fits = match file["roles"].as_array() {
                    Some(roles) => roles.iter().any(|its| its == role),
                    None => role == "driver" || !secret,
                };
                if fits && file["mountPath"] == mount_path {
                    found = Some(self.read(file, format!("{profile}: spec.files[{index}]")));
                }
            }
        }
        found
    }

    fn read(&self, file: &Value, origin: String) -> Entry {
        let (kind, reference) = match (&file["configMap"], &file["secret"]) {
            (Value::Object(_), _) => ("ConfigMap", &file["configMap"]),
            (_, Value::Object(_)) => ("Secret", &file["secret"]),
            _ => ("inline", &file["inline"]),
        };
        let name = reference["name"].as_str().unwrap_or_default();
        let data = if kind == "inline" { reference } else { &self.find(kind, name)["data"] };
        let items = reference["items"].as_array().filter(|_| kind != "inline");
        let mut files = BTreeMap::new();
        for (key, value) in data.as_object().into_iter().flatten() {
            let text = value.as_str().unwrap_or_default();
            let content = if kind == "Secret" {
                BASE64.decode(text).expect("base64")
            } else {
                text.as_bytes().to_vec()
            };
            match items {
                None => _ = files.insert(key.clone(), content),
                Some(items) => {
                    if let Some(item) = items.iter().find(|item| item["key"] == key.as_str()) {
                        files.insert(item["path"].as_str().unwrap_or(key).to_owned(), content);
                    }
                }
            }
        }
        let mode = match file["mode"].as_str() {
            Some(mode) => u32::from_str_radix(mode, 8).expect("an octal mode"),
            None if kind == "Secret" => 0o440,
            None => 0o444,
        };
        let source =
            if kind == "inline" { "text in the profile".to_owned() } else { format!("{kind} {name}") };
        Entry { origin, source, mode, files }
    }
}
