//! The fields of one profile, put over those of the profiles that it extends.

use k8s_openapi::api::core::v1::Volume;
use serde_json::{Value, json};

use super::compose::{ByRole, Composed, ComposedFiles, intersect, put_files};
use super::decode::decode;
use super::parse::Parsed;
use super::report::Report;
use super::template::{self, check_mount_path, quantities};
use super::{isolation, syntax};
use crate::admit::clean_path;
use crate::admit::plan::{Enforced, Item, Keyed, LocalDirPlan, Origin, Overlay};
use crate::api::names::{LOCAL_DIRS_VARIABLE, OBJECT_PREFIX};
use crate::api::template::Template;
use crate::api::{LocalDir, NodeSelectorPolicy, Overlay as Written, Role, Variant};

/// Puts a profile's own fields over what it extends; mistakes go to the report.
pub(super) fn put_on(profile: &Parsed, composed: &mut Composed, report: &mut Report) {
    Layer { profile, report }.put_on(composed);
}

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
            let path = format!("spec.nodeSelector.default.{key}");
            if !syntax::is_label_key(key) {
                self.report.at(&path, format!("{key:?} is not a label key: {}", syntax::LABEL_KEY));
            }
            if !syntax::is_label_value(value) {
                self.report.at(&path, format!("{value:?} is not a label value: {}", syntax::LABEL_VALUE));
            }
        }
        composed.default_selector.extend(policy.default.clone());
        if !policy.allowed.is_empty() {
            composed.allowed = intersect(composed.allowed.take(), Some(policy.allowed.clone()));
        }
        if let Some(tolerations) = &policy.allowed_tolerations {
            let path = "spec.nodeSelector.allowedTolerations";
            isolation::check_tolerations(tolerations, &isolation::OPERATORS, path, self.report);
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
        if name == LOCAL_DIRS_VARIABLE {
            self.report.at("spec.executorRole.name", format!("{name} belongs to Spark; use another name"));
        }
        // The kubelet expands $(NAME); a doubled $ stands for itself.
        let value = json!({ "name": name, "value": value.replace('$', "$$") });
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
        if name.is_empty() || !syntax::is_label_value(name) {
            self.report
                .at(&path, format!("{name:?} cannot be the value of a label, by which jobs choose it"));
        }
        let layers = composed.variants.entry(name.to_owned()).or_default();
        if let Some(template) = &variant.template {
            let layer = self.template(template, &format!("{path}.template"));
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
            let volume = Value::Object(volume);
            let typed = decode::<Volume>(&volume, &path, self.report, |_| {
                "mountPath, and the source of a volume: hostPath, emptyDir, ephemeral, …".to_owned()
            });
            if typed.is_some() && dir.source.len() != 1 {
                self.report
                    .at(&path, "write exactly one source of a volume: hostPath, emptyDir, ephemeral, …");
            }
            quantities(&volume, &path, self.report);
            let mount_path =
                dir.mount_path.clone().unwrap_or_else(|| format!("/var/data/spark-injector-{index}"));
            if let Err(message) = check_mount_path(&mount_path) {
                self.report.at(format!("{path}.mountPath"), message);
            } else if mount_path.contains(',') {
                let message =
                    format!("{mount_path:?} has a comma, at which Spark divides {LOCAL_DIRS_VARIABLE}");
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
    let mount = json!({ "mountPath": mount_path, "name": name });
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
