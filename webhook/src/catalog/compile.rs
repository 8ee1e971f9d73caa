//! The compiler: every profile on its own, then every namespace with what serves it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::build::Builder;
use super::claims::{self, Claims};
use super::compiled::{CompiledProfile, Entry, Known, RolePlans, Server};
use super::compose::{ByRole, Composed, Composer};
use super::parse::{Outline, Parsed, outline, parse, subject};
use super::payload::{EncodedMount, Payload, encode};
use super::report::Report;
use super::secrets::SecretBody;
use super::snapshot::{NamespaceInput, ObjectKey, ProfileInput, Snapshot};
use super::{Catalog, Problem, ProblemKind, Settings, files, isolation, syntax};
use crate::admit::plan::{Item, NodeSelector, Origin};
use crate::api::names::{
    INJECT_ENABLED, INJECT_LABEL, ISOLATE_ENABLED, ISOLATE_LABEL, NODE_SELECTOR_ANNOTATION,
};
use crate::api::{Delivery, Mode, Role, names};

/// A profile as the compiler leaves it: its plans, or its first problem and the mode that it asks for.
type Compiled = Result<Known, (String, Mode)>;

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
            outline.claim.clone_from(&last_good.wanted().claim);
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
        let before = previous.and_then(|previous| previous.profiles.get(&outline.name));
        let compiled = match result {
            Ok(profile) => Ok(switch(Arc::new(profile), before, input, settings)),
            Err(found) => {
                let first = first_problem(&found);
                problems.extend(found);
                before.cloned().ok_or((first, outline.mode.unwrap_or_default()))
            }
        };
        profiles.insert(outline.name, compiled);
    }
    profiles
}

/// Whether a profile that compiled serves at once, or waits until its Secrets are delivered. Without an older plan
/// there is nothing to wait with: the kubelet waits for a late Secret.
fn switch(
    next: Arc<CompiledProfile>,
    before: Option<&Known>,
    input: &ProfileInput,
    settings: &Settings,
) -> Known {
    let delivered = input.delivered.as_ref() == Some(&next.revision);
    let nothing_to_wait_for = !settings.switch_after_delivery
        || delivered
        || next.secrets().next().is_none()
        || next.mode == Mode::Off;
    match before.filter(|before| before.serving.revision != next.revision) {
        Some(before) if !nothing_to_wait_for => {
            Known { serving: Arc::clone(&before.serving), pending: Some(next) }
        }
        _ => Known { serving: next, pending: None },
    }
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
    let mut payload = encode(mounts, &mut report);
    let delivery = payload.choose_delivery(profile.delivery, settings.client_authentication, &mut report);
    let pull_secret = pull_secret(&profile, snapshot, settings, &mut report);
    if let Some(pull) = &pull_secret {
        payload.revise(pull.content);
    }
    let secret = names::files_secret(&parsed.name, &payload.revision);
    let pull_secret = pull_secret.map(|pull| pull.render(&parsed.name, &payload.revision));
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
        isolation: isolation::of(&parsed.name, &profile, [&driver, &executor]),
        default_selector: profile.default_selector.clone(),
        plans: ByRole { driver, executor },
        secret: (delivery == Delivery::Secret)
            .then(|| files_secret(&parsed.name, &secret, &payload))
            .flatten(),
        pull_secret: pull_secret.map(|(body, _)| Arc::new(body)),
    })
}

/// A tag can be moved to another image, which would then see every keytab.
fn image_warning(image: &str) -> Option<Problem> {
    let message =
        || format!("{image} has no digest; name the image as IMAGE@sha256:… so that nobody can replace it");
    (!image.contains('@')).then(|| Problem {
        kind: ProblemKind::Invalid,
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
fn files_secret(profile: &str, name: &str, payload: &Payload) -> Option<Arc<SecretBody>> {
    let variables = payload.variables().into_iter();
    let data: Vec<(String, Arc<[u8]>)> =
        variables.map(|(name, value)| (name.to_owned(), value.as_bytes().into())).collect();
    let body = || SecretBody { name: name.to_owned(), profile: profile.to_owned(), kind: "Opaque", data };
    (!payload.variables().is_empty()).then(body).map(Arc::new)
}

/// The key of a Secret with registry credentials, and its type.
const DOCKER_CONFIG: &str = ".dockerconfigjson";
const DOCKER_CONFIG_TYPE: &str = "kubernetes.io/dockerconfigjson";

/// Registry credentials that are delivered with the files.
struct PullSecret<'s> {
    content: &'s [u8],
    origin: &'s Origin,
}

impl PullSecret<'_> {
    /// The Secret, and how pods refer to it.
    fn render(&self, profile: &str, revision: &str) -> (SecretBody, Item) {
        let name = names::pull_secret(profile, revision);
        let item = Item::new(name.clone(), serde_json::json!({ "name": name }), self.origin);
        let data = vec![(DOCKER_CONFIG.to_owned(), self.content.into())];
        (SecretBody { name, profile: profile.to_owned(), kind: DOCKER_CONFIG_TYPE, data }, item)
    }
}

fn pull_secret<'s>(
    composed: &'s Composed,
    snapshot: &'s Snapshot,
    settings: &Settings,
    report: &mut Report,
) -> Option<PullSecret<'s>> {
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
        report.kind(ProblemKind::Source, format!("{path}.name"), message);
        return None;
    };
    let Some(content) = data.get(DOCKER_CONFIG) else {
        report.kind(
            ProblemKind::Source,
            format!("{path}.name"),
            format!("Secret {:?} has no key {DOCKER_CONFIG}", source.name),
        );
        return None;
    };
    Some(PullSecret { content, origin })
}

fn namespace(
    name: &str,
    input: &NamespaceInput,
    winner: Option<&Outline>,
    profiles: &HashMap<String, Compiled>,
    problems: &mut Vec<Problem>,
) -> Entry {
    let is_labelled = |label: &str, value: &str| input.labels.get(label).is_some_and(|found| found == value);
    let opted_in = is_labelled(INJECT_LABEL, INJECT_ENABLED);
    let isolated = is_labelled(ISOLATE_LABEL, ISOLATE_ENABLED);
    let winner =
        winner.and_then(|outline| profiles.get(&outline.name).map(|compiled| (&outline.name, compiled)));
    let (server, mode) = match winner {
        None => (Server::None, Mode::Enforce),
        Some((_, Ok(known))) => (Server::Profile(Arc::clone(&known.serving)), known.serving.mode),
        Some((profile, Err((problem, mode)))) => {
            (Server::Broken { profile: profile.clone(), problem: problem.clone() }, *mode)
        }
    };
    let selector = node_selector(input, &server);
    if let (true, Err(message)) = (opted_in || isolated, &selector.selector) {
        problems.push(Problem {
            kind: ProblemKind::Invalid,
            origin: input.origin.clone(),
            subject: format!("Namespace {name}"),
            path: format!("metadata.annotations[{NODE_SELECTOR_ANNOTATION}]"),
            message: format!("{message}; write key=value pairs separated by commas"),
        });
    }
    Entry { opted_in, isolated, mode, server, selector }
}

/// The annotation alone where it is present, even if it is empty; else the default of the profile.
fn node_selector(input: &NamespaceInput, server: &Server) -> NodeSelector {
    if let Some(text) = input.annotations.get(NODE_SELECTOR_ANNOTATION) {
        return NodeSelector {
            selector: syntax::parse_node_selector(text),
            origin: format!("annotation {NODE_SELECTOR_ANNOTATION}"),
        };
    }
    match server {
        Server::Profile(profile) => NodeSelector {
            selector: Ok(profile.default_selector.clone()),
            origin: format!("{}: spec.nodeSelector.default", profile.name),
        },
        Server::Broken { .. } | Server::None => {
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
                kind: ProblemKind::Conflict,
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
