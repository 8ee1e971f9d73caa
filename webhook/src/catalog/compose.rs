//! Composition: a profile with all that it extends, as layers of pod fields and a list of files.
//!
//! Later wins: `extends` in order, then `common`, then the role, then the variant. Lists merge by the keys of the merge
//! rules, `files` by mount path and role, scalars replace, `enforce` unites, `allowed` intersects, and `namespaces` is
//! nobody's but the profile's own.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;

use super::Problem;
use super::isolation;
use super::parse::{Parsed, subject};
use super::report::Report;
use super::template::{self, check_mount_path};
use crate::admit::clean_path;
use crate::admit::plan::{Enforced, Item, Keyed, LocalDirPlan, Origin, Overlay, Whitelist};
use crate::api::names::OBJECT_PREFIX;
use crate::api::template::Template;
use crate::api::{
    Delivery, FilesEntry, LocalDir, Mode, NodeSelectorPolicy, Overlay as Written, PullSecretSource, Role,
    SelectorScope, Variant,
};

/// A profile with all that it extends.
#[derive(Clone, Debug, Default)]
pub(super) struct Composed {
    pub(super) mode: Option<Mode>,
    pub(super) delivery: Option<Delivery>,
    pub(super) allow_opt_out: Option<bool>,
    pub(super) default_selector: BTreeMap<String, String>,
    pub(super) allowed: Whitelist,
    pub(super) allowed_tolerations: Option<Vec<Toleration>>,
    pub(super) scope: Option<SelectorScope>,
    pub(super) role_variable: Option<Item>,
    pub(super) pull_secret: Option<(PullSecretSource, Origin)>,
    pub(super) layers: ByRole<Overlay>,
    pub(super) variants: BTreeMap<String, ByRole<Overlay>>,
    pub(super) files: Vec<ComposedFiles>,
    pub(super) local_dirs: Vec<LocalDirPlan>,
    pub(super) enforced: Vec<String>,
}

/// One value for each role.
#[derive(Clone, Debug, Default)]
pub(super) struct ByRole<T> {
    pub(super) driver: T,
    pub(super) executor: T,
}

impl<T> ByRole<T> {
    pub(super) fn get(&self, role: Role) -> &T {
        match role {
            Role::Driver => &self.driver,
            Role::Executor => &self.executor,
        }
    }

    pub(super) fn get_mut(&mut self, role: Role) -> &mut T {
        match role {
            Role::Driver => &mut self.driver,
            Role::Executor => &mut self.executor,
        }
    }
}

/// An entry of `files`, and for whom it is left after later entries took its place.
#[derive(Clone, Debug)]
pub(super) struct ComposedFiles {
    pub(super) entry: FilesEntry,
    pub(super) roles: Vec<Role>,
    /// Field path in the profile that wrote it.
    pub(super) path: String,
    pub(super) origin: Origin,
}

impl ComposedFiles {
    /// The path by which entries are compared.
    pub(super) fn mount_path(&self) -> String {
        clean_path(&self.entry.mount_path).into_owned()
    }
}

impl Composed {
    pub(super) fn enforced(&self) -> Enforced {
        let mut enforced = Enforced::default();
        self.enforced.iter().for_each(|field| enforced.insert(field));
        enforced
    }
}

/// Composes every profile once, whatever the number of those that extend it.
pub(super) struct Composer<'p> {
    profiles: BTreeMap<&'p str, &'p Parsed>,
    broken: BTreeMap<String, String>,
    done: BTreeMap<String, Result<Composed, Vec<Problem>>>,
}

impl<'p> Composer<'p> {
    /// A composer of these profiles; `broken` are those that did not even parse, with their first problem.
    pub(super) fn new(profiles: impl Iterator<Item = &'p Parsed>, broken: BTreeMap<String, String>) -> Self {
        let profiles = profiles.map(|profile| (profile.name.as_str(), profile)).collect();
        Self { profiles, broken, done: BTreeMap::new() }
    }

    /// Composes a profile.
    ///
    /// # Errors
    ///
    /// Its own mistakes, and one for each profile that it extends in vain.
    pub(super) fn compose(&mut self, profile: &Parsed) -> Result<Composed, Vec<Problem>> {
        self.compose_below(profile, &mut Vec::new())
    }

    fn compose_below(&mut self, profile: &Parsed, above: &mut Vec<String>) -> Result<Composed, Vec<Problem>> {
        if let Some(done) = self.done.get(&profile.name) {
            return done.clone();
        }
        let mut report = Report::new(&profile.origin, subject(&profile.name));
        let mut composed = Composed::default();
        above.push(profile.name.clone());
        for (index, name) in profile.spec.extends.iter().enumerate() {
            match self.base(name, above) {
                Ok(base) => inherit(&mut composed, base),
                Err(message) => report.at(format!("spec.extends[{index}]"), message),
            }
        }
        above.pop();
        Layer { profile, report: &mut report }.put_on(&mut composed);
        let result = if report.is_clean() { Ok(composed) } else { Err(report.into_problems()) };
        self.done.insert(profile.name.clone(), result.clone());
        result
    }

    fn base(&mut self, name: &str, above: &mut Vec<String>) -> Result<Composed, String> {
        if above.iter().any(|known| known == name) {
            return Err(format!(
                "a cycle: {} → {name}; a profile cannot build upon itself",
                above.join(" → ")
            ));
        }
        if let Some(problem) = self.broken.get(name) {
            return Err(format!("SparkProfile {name} has an error: {problem}"));
        }
        let Some(base) = self.profiles.get(name).copied() else {
            let names: Vec<&str> = self.profiles.keys().copied().collect();
            return Err(format!("there is no SparkProfile {name:?}; known are {}", names.join(", ")));
        };
        self.compose_below(base, above).map_err(|problems| {
            let first = problems.first().map(|problem| format!("{}: {}", problem.path, problem.message));
            format!("SparkProfile {name} has an error: {}", first.unwrap_or_default())
        })
    }
}

/// Puts a whole base over what came before it.
fn inherit(composed: &mut Composed, base: Composed) {
    let Composed {
        mode,
        delivery,
        allow_opt_out,
        default_selector,
        allowed,
        allowed_tolerations,
        scope,
        role_variable,
        pull_secret,
        layers,
        variants,
        files,
        local_dirs,
        enforced,
    } = base;
    composed.mode = mode.or(composed.mode);
    composed.delivery = delivery.or(composed.delivery);
    composed.allow_opt_out = allow_opt_out.or(composed.allow_opt_out);
    composed.default_selector.extend(default_selector);
    composed.allowed = intersect(composed.allowed.take(), allowed);
    composed.allowed_tolerations =
        isolation::intersect(composed.allowed_tolerations.take(), allowed_tolerations);
    composed.scope = scope.or(composed.scope);
    composed.role_variable = role_variable.or(composed.role_variable.take());
    composed.pull_secret = pull_secret.or(composed.pull_secret.take());
    for role in Role::ALL {
        composed.layers.get_mut(role).merge(layers.get(role));
    }
    for (name, layers) in variants {
        let variant = composed.variants.entry(name).or_default();
        for role in Role::ALL {
            variant.get_mut(role).merge(layers.get(role));
        }
    }
    for mut files in files {
        // From here on a message has to say whose field it is.
        files.path = files.origin.to_string();
        put_files(&mut composed.files, files);
    }
    if !local_dirs.is_empty() {
        composed.local_dirs = local_dirs;
    }
    composed.enforced.extend(enforced);
}

/// What both allow. A whitelist forbids every key that it does not name, so a key of one alone is allowed by neither.
fn intersect(one: Whitelist, other: Whitelist) -> Whitelist {
    let (mut one, other) = match (one, other) {
        (None, only) | (only, None) => return only,
        (Some(one), Some(other)) => (one, other),
    };
    one.retain(|key, values| match other.get(key) {
        Some(allowed) => {
            values.retain(|value| allowed.contains(value));
            !values.is_empty()
        }
        None => false,
    });
    Some(one)
}

/// A later entry takes the place of an earlier one at the same path, for the roles that it names.
fn put_files(files: &mut Vec<ComposedFiles>, later: ComposedFiles) {
    let path = later.mount_path();
    for known in files.iter_mut().filter(|known| known.mount_path() == path) {
        known.roles.retain(|role| !later.roles.contains(role));
    }
    files.retain(|known| !known.roles.is_empty());
    files.push(later);
}

/// The profile's own fields.
struct Layer<'l> {
    profile: &'l Parsed,
    report: &'l mut Report,
}

impl Layer<'_> {
    fn origin(&self, path: &str) -> Origin {
        format!("{}: {path}", self.profile.name).into()
    }

    fn put_on(&mut self, composed: &mut Composed) {
        let profile = self.profile;
        let spec = &profile.spec;
        composed.mode = spec.mode.or(composed.mode);
        composed.delivery = spec.delivery.or(composed.delivery);
        composed.allow_opt_out = spec.allow_opt_out.or(composed.allow_opt_out);
        if let Some(policy) = &spec.node_selector {
            self.node_selector(composed, policy);
        }
        if let Some(role) = &spec.executor_role {
            self.executor_role(composed, &role.name, &role.value);
        }
        if let Some(pull) = &spec.pull_secret {
            let origin = self.origin("spec.pullSecret");
            composed.pull_secret = Some((pull.secret.clone(), origin));
        }
        for (field, written) in
            [("common", &spec.common), ("driver", &spec.driver), ("executor", &spec.executor)]
        {
            self.overlay(&mut composed.layers, written.as_ref(), field, "spec");
        }
        for (name, variant) in &spec.variants {
            self.variant(composed, name, variant);
        }
        self.files(composed);
        self.local_dirs(composed);
        self.enforce(composed);
    }

    fn node_selector(&mut self, composed: &mut Composed, policy: &NodeSelectorPolicy) {
        for (key, value) in &policy.default {
            if !super::syntax::is_label_key(key) || !super::syntax::is_label_value(value) {
                let path = format!("spec.nodeSelector.default.{key}");
                self.report.at(path, format!("{key}={value} is not a label key and a label value"));
            }
        }
        composed.default_selector.extend(policy.default.clone());
        if !policy.allowed.is_empty() {
            composed.allowed = intersect(composed.allowed.take(), Some(policy.allowed.clone()));
        }
        if let Some(tolerations) = &policy.allowed_tolerations {
            isolation::check_tolerations(tolerations, self.report);
            let own = Some(tolerations.clone());
            composed.allowed_tolerations = isolation::intersect(composed.allowed_tolerations.take(), own);
        }
        composed.scope = policy.scope.or(composed.scope);
    }

    fn executor_role(&mut self, composed: &mut Composed, name: &str, value: &str) {
        if !init_sync::is_legal_variable(name) {
            self.report.at(
                "spec.executorRole.name",
                format!("{name:?} is not the name of a variable: letters, digits, '-', '_' and '.', no digit first"),
            );
        }
        // The kubelet expands $(NAME); a doubled $ stands for itself.
        let value = serde_json::json!({ "name": name, "value": value.replace('$', "$$") });
        composed.role_variable = Some(Item::new(name, value, &self.origin("spec.executorRole")));
    }

    /// `common` goes onto both roles before the roles' own, because it is put on first.
    fn overlay(&mut self, layers: &mut ByRole<Overlay>, written: Option<&Written>, field: &str, path: &str) {
        let Some(template) = written.and_then(|written| written.template.as_ref()) else {
            return;
        };
        let layer = self.template(template, &format!("{path}.{field}.template"));
        for role in Role::ALL.into_iter().filter(|role| field == "common" || field == role.as_str()) {
            layers.get_mut(role).merge(&layer);
        }
    }

    fn template(&mut self, template: &Template, path: &str) -> Overlay {
        template::overlay(template, path, &self.profile.name, self.report)
    }

    fn variant(&mut self, composed: &mut Composed, name: &str, variant: &Variant) {
        let path = format!("spec.variants.{name}");
        if name.is_empty() || !super::syntax::is_label_value(name) {
            self.report
                .at(&path, format!("{name:?} cannot be the value of a label, by which jobs choose it"));
        }
        let layers = composed.variants.entry(name.to_owned()).or_default();
        if let Some(template) = &variant.template {
            let layer =
                template::overlay(template, &format!("{path}.template"), &self.profile.name, self.report);
            for role in Role::ALL {
                layers.get_mut(role).merge(&layer);
            }
        }
        let parts =
            [("common", &variant.common), ("driver", &variant.driver), ("executor", &variant.executor)];
        for (field, written) in parts {
            self.overlay(layers, written.as_ref(), field, &path);
        }
    }

    fn files(&mut self, composed: &mut Composed) {
        let mut own: Vec<ComposedFiles> = Vec::new();
        for (index, entry) in self.profile.spec.files.iter().enumerate() {
            let path = format!("spec.files[{index}]");
            if let Err(message) = check_mount_path(&entry.mount_path) {
                self.report.at(format!("{path}.mountPath"), message);
                continue;
            }
            let default = if entry.secret.is_some() { vec![Role::Driver] } else { Role::ALL.to_vec() };
            let origin = self.origin(&path);
            let roles = entry.roles.clone().unwrap_or(default);
            if roles.is_empty() {
                self.report.at(format!("{path}.roles"), "empty; write driver, executor, or both");
            }
            let files = ComposedFiles { entry: entry.clone(), roles, path, origin };
            let twice = own.iter().find(|known| {
                known.mount_path() == files.mount_path()
                    && known.roles.iter().any(|role| files.roles.contains(role))
            });
            if let Some(known) = twice {
                let message = format!("{:?} is taken by {} for the same role", entry.mount_path, known.path);
                self.report.at(format!("{}.mountPath", files.path), message);
                continue;
            }
            own.push(files);
        }
        for files in own {
            put_files(&mut composed.files, files);
        }
    }

    fn local_dirs(&mut self, composed: &mut Composed) {
        let mut dirs = Vec::new();
        for (index, dir) in self.profile.spec.local_dirs.iter().enumerate() {
            let path = format!("spec.localDirs[{index}]");
            let mut volume = dir.source.clone();
            volume.insert("name".to_owned(), "local".into());
            let volume = serde_json::Value::Object(volume);
            let typed = super::decode::decode::<k8s_openapi::api::core::v1::Volume>(
                &volume,
                &path,
                self.report,
                |_| "mountPath, and the source of a volume: hostPath, emptyDir, ephemeral, …".to_owned(),
            );
            if typed.is_some() && dir.source.len() != 1 {
                self.report
                    .at(&path, "write exactly one source of a volume: hostPath, emptyDir, ephemeral, …");
            }
            let mount_path =
                dir.mount_path.clone().unwrap_or_else(|| format!("/var/data/spark-injector-{index}"));
            if let Err(message) = check_mount_path(&mount_path) {
                self.report.at(format!("{path}.mountPath"), message);
            }
            dirs.push(local_dir(index, dir, &clean_path(&mount_path), &self.origin(&path)));
        }
        if !dirs.is_empty() {
            composed.local_dirs = dirs;
        }
    }

    fn enforce(&mut self, composed: &mut Composed) {
        for (index, field) in self.profile.spec.enforce.iter().enumerate() {
            if Enforced::FIELDS.contains(&field.as_str()) {
                composed.enforced.push(field.clone());
            } else {
                let allowed = Enforced::FIELDS.join(", ");
                self.report.at(
                    format!("spec.enforce[{index}]"),
                    format!("{field:?} cannot be enforced; allowed: {allowed}"),
                );
            }
        }
    }
}

fn local_dir(index: usize, dir: &LocalDir, mount_path: &str, origin: &Origin) -> LocalDirPlan {
    let name = format!("{OBJECT_PREFIX}local-dir-{index}");
    let mut volume = dir.source.clone();
    volume.insert("name".to_owned(), name.clone().into());
    let mount = serde_json::json!({ "mountPath": mount_path, "name": name });
    let mut source = Keyed::default();
    for (kind, value) in &dir.source {
        source.put(Item::new(kind, value.clone(), origin));
    }
    LocalDirPlan {
        source,
        volume: Item::new(name, volume.into(), origin),
        mount: Item::new(mount_path, mount, origin),
    }
}
