//! `check`: proves the chain from the API server to an injected pod, link by link, and names the one that is broken.
//!
//! | module | looks at |
//! | --- | --- |
//! | `permissions` | who may do what |
//! | `installed` | definition, webhook configuration, CA bundle, Service |
//! | `handshake` | the certificate that the injector shows |
//! | `served` | profiles, namespaces, delivery |
//! | `canary`, `answered` | what becomes of a pod, and what that means |
//! | `trouble` | what the API server's words mean |
//!
//! Everything is asked for with the rights of whoever runs it. Nothing is stored.

mod answered;
mod canary;
mod finding;
mod handshake;
mod installed;
mod permissions;
pub(super) mod served;
mod trouble;

use std::time::{Duration, Instant, SystemTime};

use futures::{StreamExt as _, stream};
use serde_json::Value;

use self::canary::Canary;
use self::finding::{Finding, Report, Shown};
use self::installed::{ENTRIES, Entry};
use self::served::Served;
use super::exit::Failure;
use super::output::{self, Printed, internal};
use crate::api::names::{DEFAULT_NAMESPACE, INJECT_LABEL, ISOLATE_LABEL};
use crate::args::{CheckArgs, CheckOutput};
use crate::catalog::Settings;
use crate::cluster::ask::{Api, Unread};
use crate::cluster::{self, Access};

/// Name of the definition of SparkProfile, and where definitions are.
const DEFINITION: &str = "sparkprofiles.spark-injector.io";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// Canaries that are under way at once: little beside what the API server bears, and a thousand namespaces in minutes.
const AT_ONCE: usize = 8;

/// How often a long run says how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// The oldest API server on which this is tested.
const OLDEST_MINOR: u32 = 31;

pub(super) fn run(args: CheckArgs) -> Result<(), Failure> {
    let CheckArgs {
        cluster,
        namespace: mut only,
        own_namespace,
        service_account,
        webhook_configuration,
        init_image,
        failed,
        output,
    } = args;
    // A variable that is set and empty says nothing.
    only.retain(|name| !name.is_empty());
    let init_image = init_image.filter(|image| !image.is_empty());
    // Not that of the pod that this runs in, which may be anybody's.
    let own = own_namespace.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    let access = Access::from(cluster);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
    let report = runtime.block_on(async {
        let connection = cluster::connect(&access).await;
        let connection = connection.map_err(|error| Failure::Unusable(error.to_string()))?;
        let chain = Chain {
            api: Api::new(connection),
            only,
            own,
            account: service_account,
            configuration: webhook_configuration,
            init_image,
        };
        Ok(chain.inspect().await)
    })?;
    let shown = if failed { Shown::Failed } else { Shown::All };
    match output {
        CheckOutput::Text => Printed::from(report.text(knows_unicode(), shown)),
        CheckOutput::Json => Printed::pretty(&report.json(shown))?,
    }
    .write()?;
    if report.is_good() { Ok(()) } else { Err(Failure::Denied) }
}

/// Whether the locale is one of UTF-8, by the first variable that says anything.
fn knows_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
    let locale = locale.into_iter().find(|value| !value.is_empty()).unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// What is looked at.
struct Chain {
    api: Api,
    /// Empty for every namespace.
    only: Vec<String>,
    own: String,
    account: String,
    configuration: String,
    init_image: Option<String>,
}

impl Chain {
    async fn inspect(&self) -> Report {
        let mut report = Report::default();
        let reached = self.api_server().await;
        let is_there = reached.remedy.is_empty();
        report.put(reached);
        if !is_there {
            // Nothing else could be told apart from this.
            return report;
        }
        report.put(permissions::own(&self.api, &self.own, &self.configuration, &self.only).await);
        let definition = self.api.read(&format!("{DEFINITIONS}/{DEFINITION}")).await;
        let configuration = self.api.read(&format!("{CONFIGURATIONS}/{}", self.configuration)).await;
        if let (Err(Unread::Missing), Err(Unread::Missing)) = (&definition, &configuration) {
            // Everything below would say it again, in other words.
            report.put(installed::nothing(&self.configuration));
            return report;
        }
        report.put(permissions::injectors(&self.api, &self.own, &self.account, &self.configuration).await);
        report.put(match &definition {
            Ok(definition) => installed::definition(definition),
            Err(unread) => {
                missing("definition", "", unread, "apply it: spark-injector crd | kubectl apply -f -")
            }
        });
        let served = self.served(&mut report).await;
        let hooks = self.entries(configuration, served.as_ref(), &mut report);
        self.reachability(&hooks, &mut report).await;
        if let Some(served) = served {
            self.profiles(&served, &mut report);
            report.put_all(self.canaries(&served).await);
        }
        report
    }

    async fn api_server(&self) -> Finding {
        const CHECK: &str = "api_server";
        const REMEDY: &str = "see --kubeconfig and --context, and whether this machine can reach it";
        let reply = match self.api.get("/version").await {
            Ok(reply) => reply,
            Err(why) => return Finding::failed(CHECK, "", why, REMEDY),
        };
        let Some(version) = reply.body.get("gitVersion").and_then(Value::as_str) else {
            let detail = format!("HTTP status {}: {}", reply.status, reply.message());
            return Finding::failed(CHECK, "", detail, REMEDY);
        };
        let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
        if minor.is_some_and(|minor| minor < OLDEST_MINOR) {
            let detail = format!("{version} is older than 1.{OLDEST_MINOR}");
            return Finding::failed(CHECK, "", detail, "upgrade the control plane");
        }
        Finding::passed(CHECK, "", version)
    }

    /// Profiles and namespaces; without them nothing can be said of any pod.
    async fn served(&self, report: &mut Report) -> Option<Served> {
        let profiles = match self.api.list("/apis/spark-injector.io/v1alpha1/sparkprofiles").await {
            Ok(profiles) => profiles,
            Err(unread) => {
                report.put(missing(
                    "profile",
                    "",
                    &unread,
                    "apply the definition of SparkProfile, then profiles",
                ));
                return None;
            }
        };
        let namespaces = match self.namespaces().await {
            Ok(namespaces) => namespaces,
            Err(unread) => {
                report.put(missing("namespace", "", &unread, "bind the ClusterRole spark-injector-check"));
                return None;
            }
        };
        let settings = Settings { namespace: self.own.clone(), ..Settings::default() };
        Some(Served::new(profiles, &namespaces, &settings))
    }

    /// One by one where they are named: a team may read its own without reading all.
    async fn namespaces(&self) -> Result<Vec<Value>, Unread> {
        let mut namespaces = if self.only.is_empty() {
            self.api.list("/api/v1/namespaces").await?
        } else {
            let mut named = Vec::new();
            for name in &self.only {
                match self.api.read(&format!("/api/v1/namespaces/{name}")).await {
                    Ok(namespace) => named.push(namespace),
                    Err(Unread::Missing) => {}
                    Err(unread) => return Err(unread),
                }
            }
            named
        };
        namespaces.retain(|namespace| namespace.pointer("/metadata/deletionTimestamp").is_none());
        Ok(namespaces)
    }

    /// Judges the entries of the configuration, and returns those that are there.
    fn entries(
        &self,
        configuration: Result<Value, Unread>,
        served: Option<&Served>,
        report: &mut Report,
    ) -> Vec<Value> {
        let configuration = match configuration {
            Ok(configuration) => configuration,
            Err(unread) => {
                let remedy = "apply the manifests of this version, or name it with --webhook-configuration";
                report.put(missing("configuration", &self.configuration, &unread, remedy));
                return Vec::new();
            }
        };
        let mut hooks = Vec::new();
        for entry in ENTRIES {
            let wanting = served.map(|served| served.asking(entry.label, &self.only)).unwrap_or_default();
            let (finding, hook) = installed::entry(entry, &configuration, &wanting);
            report.put(finding);
            hooks.extend(hook.cloned());
        }
        hooks
    }

    /// Bundle, Service and certificate of each entry; what both have in common is said once.
    async fn reachability(&self, hooks: &[Value], report: &mut Report) {
        let mut said: Vec<Finding> = Vec::new();
        for hook in hooks {
            let (finding, issuers) = installed::bundle(hook, SystemTime::now());
            said.push(finding);
            if let Some(service) = hook.pointer("/clientConfig/service") {
                let text =
                    |field: &str| service.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
                said.push(self.service(&text("namespace"), &text("name")).await);
            }
            let Some((host, port)) = handshake::target(hook).filter(|_| !issuers.is_empty()) else {
                continue;
            };
            let shaken = tokio::task::spawn_blocking(move || handshake::shake(&host, port, &issuers)).await;
            said.extend(shaken.ok());
        }
        let mut unique: Vec<Finding> = Vec::new();
        for finding in said {
            if !unique.contains(&finding) {
                unique.push(finding);
            }
        }
        report.put_all(unique);
    }

    async fn service(&self, namespace: &str, name: &str) -> Finding {
        let subject = format!("{namespace}/{name}");
        if let Err(unread) = self.api.read(&format!("/api/v1/namespaces/{namespace}/services/{name}")).await {
            return missing("service", &subject, &unread, "apply the manifests of this version");
        }
        let slices = format!(
            "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{name}"
        );
        match self.api.list(&slices).await {
            Ok(slices) => installed::endpoints(&subject, &slices),
            Err(unread) => missing("service", &subject, &unread, "apply the manifests of this version"),
        }
    }

    fn profiles(&self, served: &Served, report: &mut Report) {
        let namespaces = self.looked_at(served);
        let counts = |profile: &str| {
            self.only.is_empty()
                || namespaces.iter().any(|name| served.catalog.profile_of(name) == Some(profile))
        };
        let claims = |profile: &Value| profile.pointer("/spec/namespaces").is_some();
        if served.profiles.is_empty() {
            report.put(Finding::failed(
                "profile",
                "",
                "there is none",
                "create a SparkProfile: see examples/platform",
            ));
        }
        for (name, profile) in
            served.profiles.iter().filter(|(name, profile)| counts(name) && claims(profile))
        {
            debug_assert_eq!(name, served::name(profile));
            report.put_all(served::profile(profile));
        }
        if namespaces.is_empty() {
            let detail = format!("none has the label {INJECT_LABEL}: enabled");
            report.put(Finding::skipped("namespace", "", detail));
        }
        report.put_all(namespaces.iter().map(|name| served::namespace(served, name)));
    }

    /// The namespaces that are named, or all that ask for something.
    fn looked_at<'s>(&'s self, served: &'s Served) -> Vec<&'s str> {
        if !self.only.is_empty() {
            return self.only.iter().map(String::as_str).collect();
        }
        let mut names: Vec<&str> = ENTRIES
            .into_iter()
            .flat_map(|Entry { label, .. }| served.asking(label, &[]).into_keys())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    async fn canaries(&self, served: &Served) -> Vec<Finding> {
        let mut wanted: Vec<(&str, Canary)> = Vec::new();
        for namespace in served.asking(INJECT_LABEL, &self.only).into_keys() {
            wanted.extend([(namespace, Canary::Driver), (namespace, Canary::Executor)]);
        }
        let isolated = served.asking(ISOLATE_LABEL, &self.only).into_keys();
        let isolated = isolated.filter(|namespace| served.catalog.isolates(namespace));
        wanted.extend(isolated.map(|namespace| (namespace, Canary::Plain)));
        wanted.sort_by_key(|(namespace, _)| *namespace);
        let (total, mut last) = (wanted.len(), Instant::now());
        let image = self.init_image.as_deref();
        let asked = wanted
            .into_iter()
            .map(|(namespace, canary)| canary::ask(&self.api, served, namespace, canary, image));
        let mut answers = stream::iter(asked).buffered(AT_ONCE);
        let mut findings = Vec::with_capacity(total);
        while let Some(finding) = answers.next().await {
            findings.push(finding);
            if last.elapsed() >= PROGRESS {
                output::note(&format!("canary pods: {} of {total}", findings.len()));
                last = Instant::now();
            }
        }
        findings
    }
}

/// Something that cannot be read: its absence is a failure with a remedy, and a right that is missing is one of
/// whoever asks.
fn missing(check: &'static str, subject: &str, unread: &Unread, remedy: &str) -> Finding {
    match unread {
        Unread::Forbidden(message) => Finding::skipped(check, subject, format!("not readable: {message}")),
        Unread::Missing | Unread::Failed(_) => Finding::failed(check, subject, unread.sentence(), remedy),
    }
}
