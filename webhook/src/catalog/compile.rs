//! The compiler: every profile on its own, then every namespace with what serves it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::build::Builder;
use super::claims::{self, Claims};
use super::compiled::{CompiledProfile, NamespaceEntry, RolePlans, SecretBody, Service};
use super::compose::{ByRole, Composed, Composer};
use super::parse::{Outline, Parsed, outline, parse, subject};
use super::payload::{EncodedMount, Payload, encode, short_hex};
use super::report::Report;
use super::snapshot::{NamespaceInput, ObjectKey, ProfileInput, Snapshot};
use super::{Catalog, Problem, Settings, files, syntax};
use crate::admit::plan::{Item, NodeSelector};
use crate::api::names::{INJECT_ENABLED, INJECT_LABEL, NODE_SELECTOR_ANNOTATION, OBJECT_PREFIX};
use crate::api::{Delivery, Mode, Role};

/// A profile as the compiler leaves it: its plans, or its first problem and the mode that it asks for.
type Compiled = Result<Arc<CompiledProfile>, (String, Mode)>;

pub(super) fn compile(snapshot: &Snapshot, settings: &Settings, previous: Option<&Catalog>) -> Catalog {
    let mut problems = Vec::new();
    let mut outlines: Vec<Outline> = snapshot.profiles.iter().map(outline).collect();
    let profiles = compile_profiles(snapshot, settings, previous, &mut problems);
    for outline in &mut outlines {
        // Whom a profile serves is part of what keeps serving, where it does not say it any more.
        let subject = subject(&outline.name);
        let is_claim =
            |problem: &Problem| problem.subject == subject && problem.path.starts_with("spec.namespaces");
        if let (true, Some(Ok(last_good))) = (problems.iter().any(is_claim), profiles.get(&outline.name)) {
            outline.claim.clone_from(&last_good.claim);
        }
    }
    let claims = Claims::new(outlines.iter());
    let mut namespaces = HashMap::with_capacity(snapshot.namespaces.len());
    let mut conflicts = Vec::new();
    for (name, input) in &snapshot.namespaces {
        let claimed = claims.of(name, input);
        if let Some(claimed) = &claimed {
            for loser in &claimed.losers {
                conflicts.push((name, claimed.winner, *loser));
            }
        }
        let winner = claimed.map(|claimed| claimed.winner);
        namespaces.insert(name.clone(), namespace(name, input, winner, &profiles, &mut problems));
    }
    report_conflicts(&conflicts, &snapshot.profiles, &mut problems);
    problems.sort();
    problems.dedup();
    Catalog {
        namespaces,
        profiles: profiles.into_iter().filter_map(|(name, profile)| Some((name, profile.ok()?))).collect(),
        problems,
        warnings: image_warning(&settings.init_image).into_iter().collect(),
        own_namespace: settings.namespace.clone(),
        default_priority_class: settings.default_priority_class.clone(),
    }
}

/// Compiles every profile; one in error keeps its last good plans.
fn compile_profiles(
    snapshot: &Snapshot,
    settings: &Settings,
    previous: Option<&Catalog>,
    problems: &mut Vec<Problem>,
) -> HashMap<String, Compiled> {
    let parsed: Vec<Result<Parsed, Vec<Problem>>> = snapshot.profiles.iter().map(parse).collect();
    let names = snapshot.profiles.iter().map(|input| outline(input).name);
    let broken: BTreeMap<String, String> = names
        .zip(&parsed)
        .filter_map(|(name, parsed)| Some((name, first_problem(parsed.as_ref().err()?))))
        .collect();
    let mut composer = Composer::new(parsed.iter().flatten(), broken);
    let mut profiles = HashMap::new();
    for (input, parsed) in snapshot.profiles.iter().zip(&parsed) {
        let outline = outline(input);
        let result = match parsed {
            Ok(parsed) => compile_profile(parsed, &mut composer, snapshot, settings),
            Err(problems) => Err(problems.clone()),
        };
        let compiled = result.map(Arc::new).or_else(|found| {
            let first = first_problem(&found);
            problems.extend(found);
            let last_good = previous.and_then(|previous| previous.profiles.get(&outline.name));
            last_good.cloned().ok_or((first, outline.mode.unwrap_or_default()))
        });
        profiles.insert(outline.name, compiled);
    }
    profiles
}

fn first_problem(problems: &[Problem]) -> String {
    let first = problems.first().map(|problem| match problem.path.as_str() {
        "" => problem.message.clone(),
        path => format!("{path}: {}", problem.message),
    });
    first.unwrap_or_default()
}

fn compile_profile(
    parsed: &Parsed,
    composer: &mut Composer<'_>,
    snapshot: &Snapshot,
    settings: &Settings,
) -> Result<CompiledProfile, Vec<Problem>> {
    let mut report = Report::new(&parsed.origin, subject(&parsed.name));
    if let Some(claim) = &parsed.spec.namespaces {
        claims::check(claim, &mut report);
    }
    let profile = composer.compose(parsed)?;
    let mounts = files::resolve(&profile.files, snapshot, settings, &mut report);
    let payload = encode(mounts, &mut report);
    let delivery = payload.choose_delivery(profile.delivery, settings.client_authentication, &mut report);
    let pull_secret = pull_secret(&parsed.name, &profile, snapshot, settings, &mut report);
    let secret = format!("{OBJECT_PREFIX}{}-{}", parsed.name, payload.revision);
    let builder = Builder {
        name: &parsed.name,
        composed: &profile,
        payload: &payload,
        delivery,
        secret: &secret,
        pull_secret: pull_secret.as_ref().map(|(_, item)| item.clone()),
        settings,
    };
    let driver = role_plans(&builder, Role::Driver, &mut report);
    let executor = role_plans(&builder, Role::Executor, &mut report);
    if !report.is_clean() {
        return Err(report.into_problems());
    }
    let mut warnings = Report::new(&parsed.origin, subject(&parsed.name));
    warn_about_readers(&payload, [&driver, &executor], &mut warnings);
    Ok(CompiledProfile {
        name: parsed.name.clone(),
        revision: payload.revision.clone(),
        mode: profile.mode.unwrap_or_default(),
        claim: parsed.spec.namespaces.clone(),
        warnings: warnings.into_problems(),
        allow_opt_out: profile.allow_opt_out.unwrap_or_default(),
        allowed: profile.allowed.clone(),
        default_selector: profile.default_selector.clone(),
        plans: ByRole { driver, executor },
        secret: (delivery == Delivery::Secret).then(|| payload_secret(secret.clone(), &payload)).flatten(),
        pull_secret: pull_secret.map(|(body, _)| body),
    })
}

/// A tag can be moved to another image, which would then see every keytab.
fn image_warning(image: &str) -> Option<Problem> {
    let message =
        || format!("{image} has no digest; name the image as IMAGE@sha256:… so that nobody can replace it");
    (!image.contains('@')).then(|| Problem {
        origin: String::new(),
        subject: String::new(),
        path: "--init-image".to_owned(),
        message: message(),
    })
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

fn role_plans(builder: &Builder<'_>, role: Role, report: &mut Report) -> RolePlans {
    let variants = builder.composed.variants.keys();
    RolePlans {
        base: builder.plan(role, None, report),
        variants: variants.map(|name| (name.clone(), builder.plan(role, Some(name), report))).collect(),
    }
}

/// The keys of the Secret are the variables, their values what the variables hold.
fn payload_secret(name: String, payload: &Payload) -> Option<SecretBody> {
    let variables = payload.variables().into_iter();
    let data: Vec<(String, String)> =
        variables.map(|(name, value)| (name.to_owned(), STANDARD.encode(value))).collect();
    (!data.is_empty()).then_some(SecretBody { name, kind: "Opaque", data })
}

/// The key of a Secret with registry credentials, and its type.
const DOCKER_CONFIG: &str = ".dockerconfigjson";
const DOCKER_CONFIG_TYPE: &str = "kubernetes.io/dockerconfigjson";

fn pull_secret(
    profile: &str,
    composed: &Composed,
    snapshot: &Snapshot,
    settings: &Settings,
    report: &mut Report,
) -> Option<(SecretBody, Item)> {
    let (source, origin) = composed.pull_secret.as_ref()?;
    let namespace = source.namespace.clone().unwrap_or_else(|| settings.namespace.clone());
    let path = "spec.pullSecret.secret";
    if namespace != settings.namespace && !settings.source_namespaces.contains(&namespace) {
        let message = format!("{namespace:?} is not a namespace of sources; name it with --source-namespace");
        report.at(format!("{path}.namespace"), message);
        return None;
    }
    let key = ObjectKey { namespace: namespace.clone(), name: source.name.clone() };
    let Some(data) = snapshot.secrets.get(&key) else {
        let message =
            format!("there is no Secret {:?} in namespace {namespace}; create it there", source.name);
        report.at(format!("{path}.name"), message);
        return None;
    };
    let Some(content) = data.get(DOCKER_CONFIG) else {
        report.at(format!("{path}.name"), format!("Secret {:?} has no key {DOCKER_CONFIG}", source.name));
        return None;
    };
    let name = format!("{OBJECT_PREFIX}{profile}-pull-{}", short_hex(&Sha256::digest(content)));
    let item = Item::new(name.clone(), serde_json::json!({ "name": name }), origin);
    let body = SecretBody {
        name,
        kind: DOCKER_CONFIG_TYPE,
        data: vec![(DOCKER_CONFIG.to_owned(), STANDARD.encode(content))],
    };
    Some((body, item))
}

fn namespace(
    name: &str,
    input: &NamespaceInput,
    winner: Option<&Outline>,
    profiles: &HashMap<String, Compiled>,
    problems: &mut Vec<Problem>,
) -> NamespaceEntry {
    let opted_in = input.labels.get(INJECT_LABEL).map(String::as_str) == Some(INJECT_ENABLED);
    let winner =
        winner.and_then(|outline| profiles.get(&outline.name).map(|compiled| (&outline.name, compiled)));
    let (service, mode) = match winner {
        None => (Service::None, Mode::Enforce),
        Some((_, Ok(profile))) => (Service::Profile(Arc::clone(profile)), profile.mode),
        Some((profile, Err((problem, mode)))) => {
            (Service::Broken { profile: profile.clone(), problem: problem.clone() }, *mode)
        }
    };
    let selector = node_selector(input, &service);
    if let (true, Err(message)) = (opted_in, &selector.selector) {
        problems.push(Problem {
            origin: input.origin.clone(),
            subject: format!("Namespace {name}"),
            path: format!("metadata.annotations[{NODE_SELECTOR_ANNOTATION}]"),
            message: format!("{message}; write key=value pairs separated by commas"),
        });
    }
    NamespaceEntry { opted_in, mode, service, selector }
}

/// The annotation alone where it is present, even if it is empty; else the default of the profile.
fn node_selector(input: &NamespaceInput, service: &Service) -> NodeSelector {
    if let Some(text) = input.annotations.get(NODE_SELECTOR_ANNOTATION) {
        return NodeSelector {
            selector: syntax::parse_node_selector(text),
            origin: format!("annotation {NODE_SELECTOR_ANNOTATION}"),
        };
    }
    match service {
        Service::Profile(profile) => NodeSelector {
            selector: Ok(profile.default_selector.clone()),
            origin: format!("{}: spec.nodeSelector.default", profile.name),
        },
        Service::Broken { .. } | Service::None => {
            NodeSelector { selector: Ok(BTreeMap::new()), origin: String::new() }
        }
    }
}

fn report_conflicts(
    conflicts: &[(&String, &Outline, &Outline)],
    inputs: &[ProfileInput],
    problems: &mut Vec<Problem>,
) {
    for (namespace, winner, loser) in conflicts {
        for (one, message) in
            [(loser, claims::conflict(namespace, winner)), (winner, also_claims(namespace, loser))]
        {
            let origin =
                inputs.iter().find(|input| outline(input).name == one.name).map(|input| input.origin.clone());
            problems.push(Problem {
                origin: origin.unwrap_or_default(),
                subject: subject(&one.name),
                path: "spec.namespaces".to_owned(),
                message,
            });
        }
    }
}

fn also_claims(namespace: &str, loser: &Outline) -> String {
    format!(
        "namespace {namespace} is claimed equally by {}; leave it out of one of them",
        subject(&loser.name)
    )
}
