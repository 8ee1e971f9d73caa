//! One profile: from its object to plans, and to the Secrets that go with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::build::Builder;
use super::compiled::{CompiledProfile, RolePlans};
use super::compose::{ByRole, Composed, Composer};
use super::encode::Encodings;
use super::lookup::{Lookup, SourceKey};
use super::parse::{Parsed, subject};
use super::payload::{EncodedMount, Payload, encode};
use super::report::Report;
use super::secrets::{PullSecret, SecretBody};
use super::snapshot::{ProfileInput, Snapshot};
use super::{Problem, Settings, claims, files, fingerprint, isolation};
use crate::admit::plan::NodeSelector;
use crate::api::{Delivery, Role, names};

/// Compiles the profiles of one snapshot.
pub(super) struct Compiler<'s> {
    snapshot: &'s Snapshot,
    settings: &'s Settings,
    composer: Composer<'s>,
    pub(super) encodings: Encodings,
}

/// What came of a profile, and the sources that were looked at.
pub(super) struct Attempt {
    pub(super) result: Result<CompiledProfile, Vec<Problem>>,
    pub(super) sources: Vec<SourceKey>,
}

impl<'s> Compiler<'s> {
    pub(super) fn new(
        snapshot: &'s Snapshot,
        settings: &'s Settings,
        composer: Composer<'s>,
        encodings: Encodings,
    ) -> Self {
        Self { snapshot, settings, composer, encodings }
    }

    /// Compiles the profile of this name.
    pub(super) fn compile(&mut self, name: &str, input: &ProfileInput) -> Attempt {
        let mut lookup = Lookup::new(self.snapshot);
        let result = self.composer.parse(name, input).and_then(|parsed| {
            let composed = self.composer.compose(&parsed)?;
            self.build(&parsed, &composed, &mut lookup)
        });
        Attempt { result, sources: lookup.into_used() }
    }

    fn build(
        &mut self,
        parsed: &Parsed,
        composed: &Composed,
        lookup: &mut Lookup<'_>,
    ) -> Result<CompiledProfile, Vec<Problem>> {
        let Self { settings, encodings, .. } = self;
        let mut report = Report::new(&parsed.origin, subject(&parsed.name));
        if let Some(claim) = &parsed.spec.namespaces {
            claims::check(claim, &mut report);
        }
        let mounts = files::resolve(&composed.files, lookup, settings, &mut report);
        let payload = encode(mounts, encodings, &mut report);
        let delivery =
            payload.choose_delivery(composed.delivery, settings.client_authentication, &mut report);
        let pull_secret = PullSecret::find(composed, lookup, settings, &mut report);
        let draft = Builder {
            name: &parsed.name,
            composed,
            payload: &payload,
            delivery,
            revision: "",
            fingerprint: "",
            secret: "",
            pull_secret: None,
            settings,
        };
        let revision = revision(&draft, pull_secret.as_ref());
        let fingerprint = fingerprint::of(composed);
        let secret = names::files_secret(&parsed.name, &revision);
        let pull_secret = pull_secret.map(|pull| pull.render(&parsed.name, &revision));
        let builder = Builder {
            revision: &revision,
            fingerprint: &fingerprint,
            secret: &secret,
            pull_secret: pull_secret.as_ref().map(|(_, item)| item.clone()),
            ..draft
        };
        let driver = role_plans(&builder, Role::Driver, &mut report);
        let executor = role_plans(&builder, Role::Executor, &mut report);
        if !report.is_clean() {
            return Err(report.into_problems());
        }
        let mut warnings = Report::new(&parsed.origin, subject(&parsed.name));
        warn_about_readers(&payload, [&driver, &executor], &mut warnings);
        warn_about_selectors(composed, [&driver, &executor], &mut warnings);
        let files = (delivery == Delivery::Secret)
            .then(|| SecretBody::of_files(secret.clone(), &parsed.name, &payload))
            .flatten();
        let pull = pull_secret.map(|(body, _)| body);
        Ok(CompiledProfile {
            name: parsed.name.clone(),
            mode: composed.mode.unwrap_or_default(),
            warnings: warnings.into_problems(),
            allow_opt_out: composed.allow_opt_out.unwrap_or_default(),
            allowed: composed.allowed.clone(),
            isolation: isolation::of(&builder, [&driver, &executor]),
            default_selector: NodeSelector {
                selector: Ok(composed.default_selector.clone()),
                origin: format!("{}: spec.nodeSelector.default", parsed.name),
            },
            plans: Arc::new(ByRole { driver, executor }),
            pull_secret: pull.as_ref().map(|pull| pull.name().to_owned()),
            secrets: files.into_iter().chain(pull).map(Arc::new).collect(),
            revision,
            fingerprint,
        })
    }
}

fn role_plans(builder: &Builder<'_>, role: Role, report: &mut Report) -> RolePlans {
    let variants = builder.composed.variants.keys();
    RolePlans {
        base: builder.plan(role, None, report),
        variants: variants.map(|name| (name.clone(), builder.plan(role, Some(name), report))).collect(),
    }
}

/// The first 16 hex digits of SHA-256 over everything that is delivered and everything that the init container is
/// told. Two replicas with the same revision put the same init container into a pod; and a Secret of a name that
/// exists already, immutable, holds what this program would put there: the encoding of the files is in it, because
/// another version may choose another one.
fn revision(draft: &Builder<'_>, pull_secret: Option<&PullSecret<'_>>) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(&[u8::from(draft.delivery == Delivery::Secret)]);
    part(pull_secret.map(|pull| pull.content.as_bytes()).unwrap_or_default());
    for mount in &draft.payload.mounts {
        part(mount.path.as_bytes());
        part(&[u8::from(mount.single), u8::from(mount.secret)]);
    }
    for role in Role::ALL {
        // Most variants have no mount of their own: what they are told is the same, and so is the revision.
        let variants = draft.composed.variants.keys().map(|variant| Some(variant.as_str()));
        let manifests: BTreeSet<String> =
            variants.chain([None]).map(|variant| draft.manifest(role, variant)).collect();
        for manifest in &manifests {
            part(manifest.as_bytes());
        }
    }
    fingerprint::short(hash)
}

/// Permission to read for everybody.
const WORLD_READABLE: u32 = 0o004;

/// Files belong to the user of the init container, which cannot know the user of an image.
fn warn_about_readers(payload: &Payload, plans: [&RolePlans; 2], warnings: &mut Report) {
    for plan in plans.map(|plans| &plans.base) {
        let overlay = &plan.overlay;
        let says_user = overlay.spark.security.get("runAsUser").is_some()
            || ["runAsUser", "fsGroup"].iter().any(|key| overlay.pod_security.get(key).is_some());
        let private =
            |mount: &&EncodedMount| mount.files.iter().any(|file| file.entry.mode & WORLD_READABLE == 0);
        if let Some(mount) = payload.of(plan.role).find(private).filter(|_| !says_user) {
            warnings.of(&mount.origin,
                format!(
                    "not everybody may read the files at {} of {}s: unless their image runs as user 185, set runAsUser or fsGroup in a template",
                    mount.path,
                    plan.role.as_str()
                ),
            );
        }
    }
}

/// Selectors that the whitelist forbids: nothing that has them could start.
fn warn_about_selectors(composed: &Composed, plans: [&RolePlans; 2], warnings: &mut Report) {
    let Some(allowed) = &composed.allowed else { return };
    let is_allowed = |key: &str, value: &str| {
        allowed.get(key).is_some_and(|values| values.iter().any(|known| known == value))
    };
    for (key, value) in composed.default_selector.iter().filter(|(key, value)| !is_allowed(key, value)) {
        let annotation = names::NODE_SELECTOR_ANNOTATION;
        let message = format!(
            "{key}={value} is not in spec.nodeSelector.allowed: pods are refused in namespaces without an annotation {annotation}"
        );
        warnings.at(format!("spec.nodeSelector.default.{key}"), message);
    }
    for plan in plans.map(|plans| &plans.base) {
        for item in &plan.overlay.node_selector {
            let value = item.value.as_str().unwrap_or_default();
            if !is_allowed(&item.key, value) {
                let (key, role) = (&item.key, plan.role.as_str());
                let message =
                    format!("{key}={value} is not in spec.nodeSelector.allowed: every {role} is refused");
                warnings.of(&item.origin, message);
            }
        }
    }
}
