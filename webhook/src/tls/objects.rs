//! The two objects on the API server: the Secret that replicas share, and our own webhook configuration.

use std::time::SystemTime;

use http_body_util::BodyExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{GetParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::core::{ObjectMeta, Status};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;
use spark_injector_certs::{Bundle, Data, Entry, Published, Stored};

use super::FIELD_MANAGER;
use crate::api::names::MANAGED_BY_LABEL;
use crate::cluster::{describe, refusal, server_time};

/// Which objects.
#[derive(Clone, Debug)]
pub struct Names {
    /// Where the Secret is.
    pub namespace: String,
    /// The Secret.
    pub secret: String,
    /// The webhook configuration.
    pub configuration: String,
}

/// Reads and writes of both.
pub(super) struct Objects {
    client: Client,
    pub(super) names: Names,
}

/// Why an object was not read or not written.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Somebody else was faster: look again.
    Lost,
    /// Anything else; nothing is known then.
    Other(String),
}

/// The Secret at one moment.
pub(super) struct SecretSeen {
    pub(super) object: Option<Secret>,
    /// The clock of the API server, which is the one that verifies.
    pub(super) now: SystemTime,
}

/// The configuration at one moment.
#[derive(Default)]
pub(super) struct ConfigurationSeen {
    pub(super) published: Published,
    /// Of every entry, and of what they were read from.
    names: Vec<String>,
    version: String,
    /// Who else writes `caBundle`.
    pub(super) others: Vec<String>,
}

impl Objects {
    pub(super) fn new(client: Client, names: Names) -> Self {
        Self { client, names }
    }

    pub(super) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.names.namespace)
    }

    pub(super) fn configurations(&self) -> Api<MutatingWebhookConfiguration> {
        Api::all(self.client.clone())
    }

    pub(super) async fn configuration(&self) -> Result<ConfigurationSeen, Trouble> {
        let name = &self.names.configuration;
        let found = self.configurations().get_opt(name).await;
        let found = found.map_err(|error| trouble(&error, "get mutatingwebhookconfigurations", name))?;
        Ok(found.map(ConfigurationSeen::of).unwrap_or_default())
    }

    /// Not through `Api`, which drops the headers.
    pub(super) async fn secret(&self) -> Result<SecretSeen, Trouble> {
        let name = &self.names.secret;
        let failed = |error: &kube::Error| trouble(error, "get secrets", name);
        let url = Secret::url_path(&(), Some(&self.names.namespace));
        let request = kube::core::Request::new(url)
            .get(name, &GetParams::default())
            .map_err(|_| Trouble::Other(format!("{name} cannot be the name of a Secret")))?;
        let response = self.client.send(request.map(Body::from)).await.map_err(|error| failed(&error))?;
        let now = server_time(&response).unwrap_or_else(SystemTime::now);
        let status = response.status();
        let unreadable = |what: &str| Trouble::Other(format!("the answer on Secret {name} {what}"));
        let body = response.into_body().collect().await.map_err(|_| unreadable("broke off"))?.to_bytes();
        if status.is_success() {
            let object = serde_json::from_slice(&body).map_err(|_| unreadable("is no Secret"))?;
            return Ok(SecretSeen { object: Some(object), now });
        }
        if status == http::StatusCode::NOT_FOUND {
            return Ok(SecretSeen { object: None, now });
        }
        let answer: Status = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Status::failure("", "").with_code(status.as_u16()));
        Err(failed(&kube::Error::Api(answer.boxed())))
    }

    /// Writes the Secret over the very version that was read.
    pub(super) async fn store(&self, seen: Option<Secret>, stored: &Stored) -> Result<(), Trouble> {
        let name = &self.names.secret;
        let data = Some(stored.write().into_iter().map(|(key, value)| (key, ByteString(value))).collect());
        if seen.as_ref().is_some_and(|seen| seen.immutable == Some(true)) {
            let text = format!("somebody made the Secret {name} immutable: delete it, and it is made anew");
            return Err(Trouble::Other(text));
        }
        let (verb, written) = if let Some(seen) = seen {
            let secret = Secret { data, string_data: None, ..seen };
            ("update secrets", self.secrets().replace(name, &parameters(), &secret).await)
        } else {
            let labels = [(MANAGED_BY_LABEL.to_owned(), FIELD_MANAGER.to_owned())];
            let metadata =
                ObjectMeta { name: Some(name.clone()), labels: Some(labels.into()), ..ObjectMeta::default() };
            let secret = Secret { data, metadata, type_: Some("Opaque".to_owned()), ..Secret::default() };
            ("create secrets", self.secrets().create(&parameters(), &secret).await)
        };
        // Keys are in it: nobody who refuses it is quoted.
        written.map(drop).map_err(|error| explained(&error, verb, name, refusal::without_object))
    }

    /// Writes `caBundle` of every entry and nothing else, over the very version that was read.
    ///
    /// A JSON patch and not server-side apply: with that we would own the entries as well, and one that is removed
    /// from the manifests would stay behind, half empty.
    pub(super) async fn publish(&self, seen: &ConfigurationSeen, bundle: &Bundle) -> Result<(), Trouble> {
        let name = &self.names.configuration;
        let patch = seen.patch(bundle).map_err(|error| Trouble::Other(error.to_string()))?;
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patched = self.configurations().patch(name, &parameters, &Patch::<()>::Json(patch)).await;
        patched.map(drop).map_err(|error| match error {
            // A `test` that fails; a policy that refuses has the same code.
            kube::Error::Api(status) if status.code == 422 && refusal::denier(&status.message).is_none() => {
                Trouble::Lost
            }
            error => trouble(&error, "patch mutatingwebhookconfigurations", name),
        })
    }
}

impl ConfigurationSeen {
    fn of(object: MutatingWebhookConfiguration) -> Self {
        let others = object.managed_fields().iter().filter(|fields| {
            let owned = fields.fields_v1.as_ref().map(|fields| fields.0.to_string()).unwrap_or_default();
            owned.contains("f:caBundle")
        });
        let others = others.filter_map(|fields| fields.manager.clone());
        let others = others.filter(|manager| manager != FIELD_MANAGER).collect();
        let version = object.resource_version().unwrap_or_default();
        let webhooks = object.webhooks.unwrap_or_default();
        let names = webhooks.iter().map(|webhook| webhook.name.clone()).collect();
        let published = Published { entries: webhooks.into_iter().map(entry).collect() };
        Self { published, names, version, others }
    }

    fn patch(&self, bundle: &Bundle) -> Result<json_patch::Patch, serde_json::Error> {
        let value = ByteString(bundle.to_pem());
        let mut operations =
            vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": self.version})];
        for (index, (name, entry)) in self.names.iter().zip(&self.published.entries).enumerate() {
            if entry.bundle != *bundle {
                let webhook = format!("/webhooks/{index}");
                operations.push(json!({"op": "test", "path": format!("{webhook}/name"), "value": name}));
                let path = format!("{webhook}/clientConfig/caBundle");
                operations.push(json!({"op": "add", "path": path, "value": value}));
            }
        }
        serde_json::from_value(operations.into())
    }
}

/// The data of a Secret.
pub(super) fn data(secret: &Secret) -> Data {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

fn entry(webhook: MutatingWebhook) -> Entry {
    let client = webhook.client_config;
    let host = match (client.service, client.url) {
        (Some(service), _) => format!("{}.{}.svc", service.name, service.namespace),
        (None, Some(url)) => host(&url),
        (None, None) => String::new(),
    };
    let bundle = client.ca_bundle.map(|pem| Bundle::from_pem(&pem.0)).unwrap_or_default();
    Entry { host, bundle }
}

fn host(url: &str) -> String {
    let url: Option<http::Uri> = url.parse().ok();
    let host = url.as_ref().and_then(http::Uri::host).unwrap_or_default();
    host.trim_matches(['[', ']']).to_owned()
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn trouble(error: &kube::Error, verb: &str, name: &str) -> Trouble {
    explained(error, verb, name, describe)
}

fn explained(error: &kube::Error, verb: &str, name: &str, why: fn(&kube::Error) -> String) -> Trouble {
    match error {
        kube::Error::Api(status) if status.code == 409 => Trouble::Lost,
        // It was deleted in between; but what cannot be created there has no namespace.
        kube::Error::Api(status) if status.code == 404 && !verb.starts_with("create") => Trouble::Lost,
        kube::Error::Api(status) if status.code == 403 => {
            Trouble::Other(format!("{}; grant {verb} for {name}", why(error)))
        }
        _ => Trouble::Other(format!("{verb} {name}: {}", why(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_the_api_server_asks_for() {
        let of = |config: serde_json::Value| {
            let webhook = json!({"name": "w", "clientConfig": config, "sideEffects": "None",
                                 "admissionReviewVersions": ["v1"]});
            entry(serde_json::from_value(webhook).unwrap()).host
        };
        assert_eq!(of(json!({"service": {"name": "s", "namespace": "n", "port": 8443}})), "s.n.svc");
        assert_eq!(of(json!({"url": "https://127.0.0.1:1/mutate"})), "127.0.0.1");
        assert_eq!(of(json!({"url": "https://[::1]:1/mutate"})), "::1");
        assert_eq!(of(json!({})), "");
    }

    #[test]
    fn a_patch_touches_nothing_but_bundles_that_differ() {
        let webhook = |name: &str| {
            json!({"name": name, "clientConfig": {"url": "https://h/"}, "sideEffects": "None",
                   "admissionReviewVersions": ["v1"]})
        };
        let object = json!({"metadata": {"name": "c", "resourceVersion": "7"},
                            "webhooks": [webhook("a"), webhook("b")]});
        let mut seen = ConfigurationSeen::of(serde_json::from_value(object).unwrap());
        let pem = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap().cert.pem();
        let bundle = Bundle::from_pem(pem.as_bytes());
        seen.published.entries[0].bundle = bundle.clone();
        let patch = serde_json::to_value(seen.patch(&bundle).unwrap()).unwrap();
        let value = serde_json::to_value(ByteString(bundle.to_pem())).unwrap();
        let expected = json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
            {"op": "test", "path": "/webhooks/1/name", "value": "b"},
            {"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": value},
        ]);
        assert_eq!(patch, expected);
    }
}
