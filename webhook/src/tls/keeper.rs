//! Looks, does the next step, and shows the certificate.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kube::Client;
use spark_injector_certs::{
    Bundle, Handshake, LOOK_EVERY, Published, Rules, Shown, Sightings, Step, Stored, Trouble as Refusal, View,
};
use tokio::time::Instant;

use super::objects::{ConfigurationSeen, Names, Objects, SecretSeen, Trouble, data};
use super::restraint::Restraint;
use super::trouble::Report;
use super::wake::Wake;
use crate::server::Tls;
use crate::server::metrics::{Metrics, Reloaded};

/// What a step costs is little; that many in a row are a mistake somewhere.
const STEPS: usize = 16;

/// Between attempts that failed: from the first to the longest, doubled each time.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// How certificates are kept.
#[derive(Debug)]
pub struct Settings {
    /// Which objects.
    pub names: Names,
    /// How certificates are made.
    pub rules: Rules,
    /// How they are shown.
    pub handshake: Handshake,
}

/// Keeps the Secret, the configuration and what this replica shows.
pub struct Keeper {
    objects: Objects,
    rules: Rules,
    handshake: Handshake,
    tls: Tls,
    metrics: Arc<Metrics>,
    report: Report,
    wake: Wake,
    started: Instant,
    sightings: Sightings,
    shown: Shown,
    /// As it was seen last.
    published: Published,
    /// The bundle that stood everywhere when all was well: if it does not now, somebody else changed it.
    settled: Option<Bundle>,
    had_secret: bool,
    restraints: [Restraint; 2],
}

/// How a look ended.
enum Looked {
    /// A step was done: look again.
    Stepped,
    /// Nothing to do for so long.
    Well(Duration),
    /// A step that has to wait, since somebody else undoes it.
    Restrained(Duration),
}

/// Why nothing could be done.
struct Failed {
    reason: &'static str,
    text: String,
}

impl Keeper {
    /// Nothing is asked yet. `tls` is what the server shows: nothing, until the first look.
    pub fn new(client: &Client, settings: Settings, tls: Tls, metrics: Arc<Metrics>) -> Self {
        let Settings { names, rules, handshake } = settings;
        Self {
            wake: Wake::new(client, &names),
            report: Report::new(client.clone(), &names, Arc::clone(&metrics)),
            objects: Objects::new(client.clone(), names),
            rules,
            handshake,
            tls,
            metrics,
            started: Instant::now(),
            sightings: Sightings::default(),
            shown: Shown::default(),
            published: Published::default(),
            settled: None,
            had_secret: false,
            restraints: <[Restraint; 2]>::default(),
        }
    }

    /// Looks for ever.
    pub async fn run(&mut self) {
        let (mut steps, mut retry) = (0, RETRY.0);
        loop {
            let pause = match self.look().await {
                Ok(Looked::Stepped) if steps < STEPS => {
                    (steps, retry) = (steps + 1, RETRY.0);
                    continue;
                }
                Ok(Looked::Stepped) => RETRY.1,
                Ok(Looked::Well(wait)) => wait,
                Ok(Looked::Restrained(wait)) => {
                    // The watch would wake us at each change of the other one.
                    tokio::time::sleep(wait).await;
                    Duration::ZERO
                }
                Err(Failed { reason, text }) => {
                    self.judge(SystemTime::now(), Some(&text));
                    self.report.trouble(reason, &text).await;
                    // Others failed at the same moment.
                    tokio::time::sleep(retry.mul_f64(0.5 + fastrand::f64())).await;
                    retry = (retry * 2).min(RETRY.1);
                    steps = 0;
                    continue;
                }
            };
            (steps, retry) = (0, RETRY.0);
            // A wait that ends between two ticks of the clock would be one look too early.
            self.wake.wait((pause + Duration::from_millis(5)).min(LOOK_EVERY)).await;
        }
    }

    async fn look(&mut self) -> Result<Looked, Failed> {
        // In this order: see `Rules`.
        let configuration = match self.objects.configuration().await {
            Ok(configuration) => configuration,
            Err(trouble) => return lost_or(trouble).await,
        };
        let SecretSeen { object, now } = match self.objects.secret().await {
            Ok(seen) => seen,
            Err(trouble) => return lost_or(trouble).await,
        };
        self.published.clone_from(&configuration.published);
        let elapsed = self.started.elapsed();
        self.sightings.observe(&self.published, elapsed);
        let data = object.as_ref().map(data).unwrap_or_default();
        if !Stored::is_ours(&data) {
            return Err(self.foreign());
        }
        let stored = Stored::read(&data);
        let view =
            View { stored: &stored, published: &self.published, sightings: &self.sightings, now, elapsed };
        if self.shown.adopt(&self.rules, &view) {
            self.show()?;
        }
        let step = self.rules.next(&view).map_err(|error| failed("CertificateNotMade", error))?;
        match step {
            Step::Wait(wait) => {
                self.had_secret = true;
                self.settled = configuration.published.entries.first().map(|entry| entry.bundle.clone());
                self.judge(now, None);
                if let Some(refusal) = self.shown.trouble(&self.published, now) {
                    self.report.trouble(reason(&refusal), &self.explain(&refusal)).await;
                } else {
                    self.report.well();
                }
                Ok(Looked::Well(wait))
            }
            step => {
                self.judge(now, None);
                self.carry_out(step, configuration, object, &stored).await
            }
        }
    }

    async fn carry_out(
        &mut self,
        step: Step,
        configuration: ConfigurationSeen,
        secret: Option<k8s_openapi::api::core::v1::Secret>,
        stored: &Stored,
    ) -> Result<Looked, Failed> {
        let is_repair = match &step {
            Step::Store(_) => !stored.damaged().is_empty() || (secret.is_none() && self.had_secret),
            Step::Publish(bundle) => self.settled.as_ref() == Some(bundle),
            Step::Wait(_) => false,
        };
        let which = usize::from(matches!(step, Step::Publish(_)));
        if is_repair && let Some(restraint) = self.restraints.get_mut(which) {
            let wait = restraint.wait(Instant::now());
            let is_fight = restraint.is_fight();
            if wait.is_zero() {
                restraint.made(Instant::now());
            }
            self.tell_repair(&step, &configuration, stored, is_fight).await;
            if !wait.is_zero() {
                return Ok(Looked::Restrained(wait));
            }
        }
        let done = match step {
            Step::Store(wanted) => {
                let rotating = wanted.is_rotating();
                let done = self.objects.store(secret, &wanted).await;
                if done.is_ok() {
                    tracing::info!(rotating, "certificates written");
                }
                done
            }
            Step::Publish(bundle) => {
                let done = self.objects.publish(&configuration, &bundle).await;
                if done.is_ok() {
                    tracing::info!(authorities = bundle.iter().count(), "caBundle written");
                }
                done
            }
            Step::Wait(_) => Ok(()),
        };
        match done {
            Ok(()) => Ok(Looked::Stepped),
            Err(trouble) => lost_or(trouble).await,
        }
    }

    async fn tell_repair(
        &mut self,
        step: &Step,
        configuration: &ConfigurationSeen,
        stored: &Stored,
        is_fight: bool,
    ) {
        let Names { namespace, secret, configuration: name } = &self.objects.names;
        let mut text = match step {
            Step::Publish(_) => {
                let others = configuration.others.join(", ");
                let by = if others.is_empty() { String::new() } else { format!(" by {others}") };
                format!("the caBundle of {name} was changed{by} and is restored")
            }
            _ if stored.damaged().is_empty() => {
                format!("the Secret {namespace}/{secret} is gone and is made anew")
            }
            _ => format!(
                "the Secret {namespace}/{secret} is damaged ({}) and is repaired",
                stored.damaged().join(", ")
            ),
        };
        if is_fight {
            text += "; this happens again and again, so it is restored ever slower: find out who does it";
        }
        self.report.trouble("CertificatesRepaired", &text).await;
    }

    /// Shows the leaf to every connection from now on.
    fn show(&self) -> Result<(), Failed> {
        let Some(leaf) = self.shown.leaf() else { return Ok(()) };
        let config =
            self.handshake.config(Some(leaf)).map_err(|error| failed("CertificateNotMade", error))?;
        self.tls.replace(Arc::new(config));
        let certificate = leaf.certificate();
        self.metrics.certificate_in_use(certificate.not_before(), certificate.not_after());
        self.metrics.certificate_reloaded(Reloaded::Ok);
        tracing::info!("another certificate is served");
        Ok(())
    }

    /// Tells the readiness probe. Without news of the API server the last view of it stands.
    fn judge(&self, now: SystemTime, failure: Option<&str>) {
        let refusal = self.shown.trouble(&self.published, now);
        let is_mismatch = matches!(refusal, Some(Refusal::Untrusted(_) | Refusal::Unpublished));
        self.metrics.bundle_mismatch(is_mismatch);
        self.tls.set_trouble(refusal.map(|refusal| {
            let why = failure.map(|failure| format!(" ({failure})")).unwrap_or_default();
            self.explain(&refusal) + &why
        }));
    }

    fn explain(&self, refusal: &Refusal) -> String {
        let Names { configuration, .. } = &self.objects.names;
        match refusal {
            Refusal::Nothing | Refusal::Invalid => refusal.to_string(),
            Refusal::Unpublished => {
                format!(
                    "there is no MutatingWebhookConfiguration {configuration} with webhooks: apply the manifests, or give its name with --webhook-configuration"
                )
            }
            Refusal::Untrusted(host) => format!(
                "MutatingWebhookConfiguration {configuration}: the API server does not take the serving certificate for {host}: see its caBundle, --service-name and --tls-san"
            ),
        }
    }

    fn foreign(&self) -> Failed {
        let Names { namespace, secret, .. } = &self.objects.names;
        let text = format!(
            "the Secret {namespace}/{secret} is somebody else's: it holds data and no authority of spark-injector; delete it, give another name with --tls-secret, or serve its files with --tls files"
        );
        Failed { reason: "ForeignSecret", text }
    }
}

/// Whoever was too late lets the others finish first.
async fn lost_or(trouble: Trouble) -> Result<Looked, Failed> {
    match trouble {
        Trouble::Lost => {
            tokio::time::sleep(Duration::from_millis(200).mul_f64(fastrand::f64())).await;
            Ok(Looked::Stepped)
        }
        Trouble::Other(text) => Err(Failed { reason: "CertificatesNotKept", text }),
    }
}

fn failed(reason: &'static str, error: impl std::fmt::Display) -> Failed {
    Failed { reason, text: error.to_string() }
}

fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Nothing | Refusal::Invalid => "NoCertificate",
        Refusal::Unpublished => "NoWebhookConfiguration",
        Refusal::Untrusted(_) => "CertificateNotTrusted",
    }
}
