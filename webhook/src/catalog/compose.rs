//! Composition: a profile with all that it extends, as layers of pod fields and a list of files.
//!
//! Later wins: `extends` in order, then `common`, then the role, then the variant. Lists merge by the keys of the merge
//! rules, `files` by mount path and role, scalars replace, `enforce` unites, `allowed` intersects, and `namespaces` is
//! nobody's but the profile's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Toleration;

use super::parse::{Parsed, parse, subject};
use super::report::Report;
use super::schema::Schema;
use super::snapshot::ProfileInput;
use super::{Problem, isolation, layer};
use crate::admit::clean_path;
use crate::admit::plan::{Enforced, Item, LocalDirPlan, Origin, Overlay, Whitelist};
use crate::api::{Delivery, FilesEntry, Mode, PullSecretSource, Role, SelectorScope};

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
#[derive(Clone, Debug, Default, PartialEq)]
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

impl ByRole<Overlay> {
    fn merge(&mut self, later: &Self) {
        self.driver.merge(&later.driver);
        self.executor.merge(&later.executor);
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

/// Parses and composes every profile at most once, whatever the number of those that extend it, and none that nobody
/// asks for.
pub(super) struct Composer<'p> {
    profiles: BTreeMap<&'p str, &'p ProfileInput>,
    schema: Schema,
    parsed: BTreeMap<String, Result<Arc<Parsed>, Vec<Problem>>>,
    composed: BTreeMap<String, Result<Arc<Composed>, Vec<Problem>>>,
}

impl<'p> Composer<'p> {
    /// A composer of these profiles, by name, which holds them to the schema.
    pub(super) fn new(profiles: impl Iterator<Item = (&'p str, &'p ProfileInput)>, schema: Schema) -> Self {
        let profiles = profiles.collect();
        Self { profiles, schema, parsed: BTreeMap::new(), composed: BTreeMap::new() }
    }

    /// Parses a profile.
    ///
    /// # Errors
    ///
    /// Its own mistakes.
    pub(super) fn parse(&mut self, name: &str, input: &ProfileInput) -> Result<Arc<Parsed>, Vec<Problem>> {
        if let Some(parsed) = self.parsed.get(name) {
            return parsed.clone();
        }
        let parsed = parse(name, input, &self.schema).map(Arc::new);
        self.parsed.insert(name.to_owned(), parsed.clone());
        parsed
    }

    /// Composes a profile.
    ///
    /// # Errors
    ///
    /// Its own mistakes, and one for each profile that it extends in vain.
    pub(super) fn compose(&mut self, profile: &Parsed) -> Result<Arc<Composed>, Vec<Problem>> {
        self.compose_below(profile, &mut Vec::new())
    }

    fn compose_below(
        &mut self,
        profile: &Parsed,
        above: &mut Vec<String>,
    ) -> Result<Arc<Composed>, Vec<Problem>> {
        if let Some(composed) = self.composed.get(&profile.name) {
            return composed.clone();
        }
        let mut report = Report::new(&profile.origin, subject(&profile.name));
        let mut composed = Composed::default();
        above.push(profile.name.clone());
        for (index, name) in profile.spec.extends.iter().enumerate() {
            match self.base(name, above) {
                Ok(base) => inherit(&mut composed, &base),
                Err(message) => report.at(format!("spec.extends[{index}]"), message),
            }
        }
        above.pop();
        layer::put_on(profile, &mut composed, &mut report);
        let result = if report.is_clean() { Ok(Arc::new(composed)) } else { Err(report.into_problems()) };
        self.composed.insert(profile.name.clone(), result.clone());
        result
    }

    fn base(&mut self, name: &str, above: &mut Vec<String>) -> Result<Arc<Composed>, String> {
        if above.iter().any(|known| known == name) {
            return Err(format!(
                "a cycle: {} → {name}; a profile cannot build upon itself",
                above.join(" → ")
            ));
        }
        let Some(input) = self.profiles.get(name).copied() else {
            let names: Vec<&str> = self.profiles.keys().copied().collect();
            return Err(format!("there is no SparkProfile {name:?}; known are {}", names.join(", ")));
        };
        let composed = self.parse(name, input).and_then(|base| self.compose_below(&base, above));
        composed.map_err(|problems| {
            let first = problems.first().map(Problem::in_short).unwrap_or_default();
            format!("SparkProfile {name} has an error: {first}")
        })
    }
}

/// Puts a whole base over what came before it.
fn inherit(composed: &mut Composed, base: &Composed) {
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
    } = base.clone();
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
    composed.layers.merge(&layers);
    for (name, layers) in variants {
        composed.variants.entry(name).or_default().merge(&layers);
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
pub(super) fn intersect(one: Whitelist, other: Whitelist) -> Whitelist {
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
pub(super) fn put_files(files: &mut Vec<ComposedFiles>, later: ComposedFiles) {
    let path = later.mount_path();
    for known in files.iter_mut().filter(|known| known.mount_path() == path) {
        known.roles.retain(|role| !later.roles.contains(role));
    }
    files.retain(|known| !known.roles.is_empty());
    files.push(later);
}
