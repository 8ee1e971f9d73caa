//! From a composed profile and its payload to the plans of its roles and variants.

use std::collections::BTreeMap;
use std::sync::Arc;

use init_sync::{DEFAULT_DIRECTORY, Entry, MANIFEST_VARIABLE, MAX_VARIABLE_BYTES, Manifest};
use serde_json::{Value, json};

use super::compose::Composed;
use super::payload::{EncodedMount, Payload, distinct_variables};
use super::report::Report;
use super::{ProblemKind, Settings};
use crate::admit::is_below;
use crate::admit::patch::Fragment;
use crate::admit::plan::{FilesPlan, Item, MAX_NAMESERVERS, MAX_SEARCHES, Overlay, Plan};
use crate::api::names::{FILES_VOLUME, INIT_CONTAINER, NO_TOKEN_VOLUME, TOKEN_PATH};
use crate::api::{Delivery, Role};

/// Everything that the plans of one profile share.
pub(super) struct Builder<'b> {
    pub(super) name: &'b str,
    pub(super) composed: &'b Composed,
    pub(super) payload: &'b Payload,
    pub(super) delivery: Delivery,
    /// Name of everything that is delivered; empty in a draft.
    pub(super) revision: &'b str,
    /// Name of everything else; empty in a draft.
    pub(super) fingerprint: &'b str,
    /// Name of the Secret with the payload, where it travels in one.
    pub(super) secret: &'b str,
    /// Name of the pull secret, where there is one.
    pub(super) pull_secret: Option<Item>,
    pub(super) settings: &'b Settings,
}

impl Builder<'_> {
    /// The plan of a role, with or without a variant; mistakes go to the report.
    pub(super) fn plan(&self, role: Role, variant: Option<&str>, report: &mut Report) -> Plan {
        let mut overlay = self.overlay(role, variant);
        if let Some(pull) = &self.pull_secret {
            overlay.pull_secrets.put(pull.clone());
        }
        self.check_paths(role, &overlay, report);
        check_names(&overlay, report);
        check_dns(&overlay, report);
        let files = self.files(role, &overlay, report);
        Plan {
            profile: self.name.to_owned(),
            role,
            variant: variant.map(str::to_owned),
            enforced: self.composed.enforced(),
            files,
            role_variable: self.composed.role_variable.clone(),
            local_dirs: self.composed.local_dirs.clone(),
            status: self.status(role, variant),
            overlay,
        }
    }

    fn overlay(&self, role: Role, variant: Option<&str>) -> Overlay {
        let mut overlay = self.composed.layers.get(role).clone();
        if let Some(layers) = variant.and_then(|name| self.composed.variants.get(name)) {
            overlay.merge(layers.get(role));
        }
        overlay
    }

    /// What the init container of a role is told: every path, mode and digest, and how each file is encoded.
    pub(super) fn manifest(&self, role: Role, variant: Option<&str>) -> String {
        let overlay = self.overlay(role, variant);
        let mounts: Vec<&EncodedMount> = self.payload.of(role).collect();
        // Mistakes are reported when the plan is made.
        let points = self.layout(&mounts, &overlay).mount_points(&mut Report::new("", ""));
        manifest(&mounts, points.into_values()).to_string()
    }

    fn layout<'l>(&'l self, mounts: &[&'l EncodedMount], overlay: &'l Overlay) -> Layout<'l> {
        Layout::of(mounts, overlay, self.composed.local_dirs.iter().map(|dir| dir.mount.key.as_str()))
    }

    fn status(&self, role: Role, variant: Option<&str>) -> Item {
        let mut status = json!({ "profile": self.name, "revision": self.revision, "plan": self.fingerprint, "role": role.as_str() });
        if let (Some(variant), Some(map)) = (variant, status.as_object_mut()) {
            map.insert("variant".to_owned(), variant.into());
        }
        Item::status(&status)
    }

    /// Two mounts at one path would be refused with every pod.
    fn check_paths(&self, role: Role, overlay: &Overlay, report: &mut Report) {
        let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
        let templates = overlay.spark.mounts.iter().map(|item| (item.key.as_str(), &item.origin));
        let files = self.payload.of(role).map(|mount| (mount.path.as_str(), &mount.origin));
        let disks = self.composed.local_dirs.iter().map(|dir| (dir.mount.key.as_str(), &dir.mount.origin));
        for (path, origin) in templates.chain(files).chain(disks) {
            if let Some(other) = taken.insert(path, origin) {
                report.of(origin, format!("{path:?} is where {other} mounts something else"));
            }
        }
    }

    fn files(&self, role: Role, overlay: &Overlay, report: &mut Report) -> Option<FilesPlan> {
        let mounts: Vec<&EncodedMount> = self.payload.of(role).collect();
        let origin = Arc::clone(&mounts.first()?.origin);
        let mut layout = self.layout(&mounts, overlay);
        layout.check_inside_overlay(overlay, report);
        let points = layout.mount_points(report);
        let manifest = manifest(&mounts, points.values().cloned()).to_string();
        if report.is_clean() {
            check_manifest(&manifest, role, report);
        }
        let item = |key: &str, value: Value| Item::new(key, value, &origin);
        let secret = mounts.iter().any(|mount| mount.secret);
        Some(FilesPlan {
            head: self.head(),
            tail: Arc::new(Fragment::new(self.tail(&mounts, &manifest))),
            volumes: vec![
                item(FILES_VOLUME, files_volume(&mounts, secret)),
                item(NO_TOKEN_VOLUME, json!({ "name": NO_TOKEN_VOLUME, "emptyDir": { "sizeLimit": "1Mi" } })),
            ],
            mounts: mounts.iter().map(|mount| mount_item(mount)).collect(),
            mount_points: points.into_keys().collect(),
            secrets: if self.delivery == Delivery::Secret
                && mounts.iter().any(|mount| !mount.files.is_empty())
            {
                vec![self.secret.to_owned()]
            } else {
                Vec::new()
            },
            origin: Arc::clone(&origin),
        })
    }

    /// What does not depend on the pod, up to the security context.
    fn head(&self) -> String {
        let amounts = json!({ "cpu": self.settings.init_cpu, "memory": self.settings.init_memory });
        let head = json!({
            "name": INIT_CONTAINER,
            "image": self.settings.init_image,
            "command": ["/init-sync"],
            // Equal, or a Guaranteed pod would become Burstable.
            "resources": { "requests": amounts, "limits": amounts },
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [
                { "name": FILES_VOLUME, "mountPath": DEFAULT_DIRECTORY },
                { "name": NO_TOKEN_VOLUME, "mountPath": TOKEN_PATH, "readOnly": true },
            ],
        });
        let mut text = head.to_string();
        text.pop();
        text.push(',');
        text
    }

    /// The environment, which holds the payload or refers to it.
    fn tail(&self, mounts: &[&EncodedMount], manifest: &str) -> String {
        // The kubelet expands $(NAME); a doubled $ stands for itself.
        let manifest = manifest.replace('$', "$$");
        let mut env = vec![json!({ "name": MANIFEST_VARIABLE, "value": manifest })];
        for (name, value) in distinct_variables(mounts.iter().copied()) {
            env.push(if self.delivery == Delivery::Secret {
                json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": self.secret, "key": name } } })
            } else {
                json!({ "name": name, "value": value.text() })
            });
        }
        format!("\"env\":{}}}", Value::Array(env))
    }
}

/// Names of containers and init containers are one set: with one in both, every pod would be refused.
fn check_names(overlay: &Overlay, report: &mut Report) {
    for sidecar in &overlay.sidecars {
        if let Some(init) = overlay.init_containers.get(&sidecar.key) {
            let message =
                format!("{:?} is the name of the init container of {}, too", sidecar.key, init.origin);
            report.of(&sidecar.origin, message);
        }
    }
}

/// Lists of all layers together; of one that is too long, some would be left out in every pod.
fn check_dns(overlay: &Overlay, report: &mut Report) {
    for (what, list, most) in [
        ("nameservers", &overlay.nameservers, MAX_NAMESERVERS),
        ("search domains", &overlay.searches, MAX_SEARCHES),
    ] {
        if let Some(excess) = list.as_slice().get(most) {
            let message = format!(
                "{} {what} together with what it is put over, at most {most} are possible",
                list.len()
            );
            report.of(&excess.origin, message);
        }
    }
}

/// What init-sync or the kernel would refuse in every pod is refused here, once, and where its owner sees it.
fn check_manifest(manifest: &str, role: Role, report: &mut Report) {
    let role = role.as_str();
    if let Err(error) = manifest.parse::<Manifest>() {
        report
            .at("spec.files", format!("the init container of {role}s could not read its manifest: {error}"));
    }
    let bytes = MANIFEST_VARIABLE.len() + "=".len() + manifest.len() + "\0".len();
    if bytes > MAX_VARIABLE_BYTES {
        let message = format!(
            "the list of the files of {role}s has {bytes} bytes, and with more than {MAX_VARIABLE_BYTES} no init \
             container could start; leave files out with items, or shorten their names and paths"
        );
        report.kind(ProblemKind::TooLarge, "spec.files", message);
    }
}

fn manifest(mounts: &[&EncodedMount], points: impl Iterator<Item = Entry>) -> Manifest {
    Manifest { directory: DEFAULT_DIRECTORY.to_owned(), entries: entries(mounts, points) }
}

fn entries(mounts: &[&EncodedMount], points: impl Iterator<Item = Entry>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for mount in mounts.iter().filter(|mount| !mount.single) {
        // Also where there is no file: the kubelet would make the directory for root alone.
        entries.push(Entry::Directory { path: mount.directory.clone() });
    }
    entries.extend(points);
    entries.extend(mounts.iter().flat_map(|mount| &mount.files).map(|file| Entry::File(file.entry.clone())));
    entries
}

/// Block size of every file system that an emptyDir may be on.
const BLOCK: u64 = 4096;
/// Room for directories and for a file under its temporary name.
const SLACK: u64 = 512 * 1024;

fn files_volume(mounts: &[&EncodedMount], secret: bool) -> Value {
    let files = mounts.iter().flat_map(|mount| &mount.files);
    let bytes: u64 = files.map(|file| (file.entry.size / BLOCK + 2) * BLOCK).sum();
    let limit = format!("{}Mi", (bytes + SLACK).div_ceil(1024 * 1024));
    let source = if secret {
        json!({ "medium": "Memory", "sizeLimit": limit })
    } else {
        json!({ "sizeLimit": limit })
    };
    json!({ "name": FILES_VOLUME, "emptyDir": source })
}

fn mount_item(mount: &EncodedMount) -> Item {
    let sub_path = match mount.files.first().filter(|_| mount.single) {
        Some(file) => file.entry.path.clone(),
        None => mount.directory.clone(),
    };
    let value =
        json!({ "name": FILES_VOLUME, "mountPath": mount.path, "subPath": sub_path, "readOnly": true });
    Item::new(mount.path.clone(), value, &mount.origin)
}

/// What a path in the Spark container is, for whoever lies below it or above it.
enum Place<'l> {
    Files(&'l EncodedMount),
    /// A mount of a template; with a sub path it may be a file.
    Template {
        item: &'l Item,
        may_be_file: bool,
    },
    LocalDir,
}

/// All mounts that a plan may add, by path.
struct Layout<'l> {
    places: BTreeMap<&'l str, Place<'l>>,
}

impl<'l> Layout<'l> {
    fn of(
        mounts: &[&'l EncodedMount],
        overlay: &'l Overlay,
        local_dirs: impl Iterator<Item = &'l str>,
    ) -> Self {
        let mut places: BTreeMap<&str, Place<'_>> = local_dirs.map(|path| (path, Place::LocalDir)).collect();
        for item in &overlay.spark.mounts {
            let part = ["subPath", "subPathExpr"].iter().any(|key| item.value.get(key).is_some());
            places.insert(&item.key, Place::Template { item, may_be_file: part });
        }
        places.extend(mounts.iter().map(|mount| (mount.path.as_str(), Place::Files(mount))));
        Self { places }
    }

    /// The closest mount around a path.
    fn around(&self, path: &str) -> Option<(&'l str, &Place<'l>)> {
        self.places
            .iter()
            .filter(|(outer, _)| is_below(path, outer))
            .max_by_key(|(outer, _)| outer.len())
            .map(|(outer, place)| (*outer, place))
    }

    /// Mount points that init-sync has to make below our own mounts, which are read-only, by path in the container.
    fn mount_points(&self, report: &mut Report) -> BTreeMap<String, Entry> {
        let mut points = BTreeMap::new();
        for (path, place) in &self.places {
            let Some((outer, Place::Files(mount))) = self.around(path) else {
                continue;
            };
            if mount.single {
                report.of(&mount.origin, format!("{path} lies below {outer}, which is a single file"));
                continue;
            }
            let relative = path.get(outer.len() + 1..).unwrap_or_default();
            let target = format!("{}/{relative}", mount.directory);
            if let Some(hidden) = mount.files.iter().find(|file| overlaps(&file.entry.path, &target)) {
                let name = hidden.entry.path.get(mount.directory.len() + 1..).unwrap_or_default();
                report.of(
                    &mount.origin,
                    format!("{path} is mounted over {outer}/{name} of this entry; leave one of them out"),
                );
                continue;
            }
            let entry = match place {
                Place::Files(inner) if inner.single => Entry::EmptyFile { path: target },
                Place::Template { item, may_be_file: true } => {
                    report.of(&item.origin,
                        format!("{path} lies below {outer}, and its subPath may be a file or a directory; mount it elsewhere"),
                    );
                    continue;
                }
                Place::Files(_) | Place::Template { .. } | Place::LocalDir => {
                    Entry::Directory { path: target }
                }
            };
            points.insert((*path).to_owned(), entry);
        }
        points
    }

    /// Ours inside a template's mount in which no mount point can be made.
    fn check_inside_overlay(&mut self, overlay: &Overlay, report: &mut Report) {
        for (path, place) in &self.places {
            let (Place::Files(mount), Some((outer, Place::Template { item, .. }))) =
                (place, self.around(path))
            else {
                continue;
            };
            let volume = item.value.get("name").and_then(Value::as_str).unwrap_or_default();
            let kinds = ["configMap", "secret", "projected", "downwardAPI"];
            let source = overlay.volumes.get(volume).map(|item| &item.value);
            let kind = kinds.into_iter().find(|kind| source.is_some_and(|source| source.get(kind).is_some()));
            let read_only = item.value.get("readOnly").and_then(Value::as_bool).unwrap_or_default();
            if let Some(kind) = kind.or(read_only.then_some("read-only")) {
                report.of(&mount.origin,
                    format!(
                        "{path} lies inside the {kind} mount of volume {volume} at {outer} ({}), where no mount point can be made",
                        item.origin
                    ),
                );
            }
        }
    }
}

/// Whether two paths of the volume are the same, or one lies below the other.
fn overlaps(file: &str, target: &str) -> bool {
    let below =
        |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    file == target || below(file, target) || below(target, file)
}
