//! Requests to an API server (or to the webhook itself) as plain JSON. Status, body and warnings stay visible: an
//! answer of 403 is as often the expected one as 201. Blocking; see [`crate`].

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::Request;
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::config::AuthInfo;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Map, Value, json};

use crate::pki::Identity;
use crate::runtime;

/// Who asks.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Nobody in particular.
    None,
    /// The holder of a client certificate.
    Certificate(Identity),
    /// The holder of a bearer token.
    Token(String),
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, or null where it is not JSON.
    pub body: Value,
    /// The body as it came.
    pub text: String,
    /// The texts of the `Warning` headers.
    pub warnings: Vec<String>,
    /// All headers.
    pub headers: http::HeaderMap,
}

impl Reply {
    /// The message of a `Status` body, empty where there is none.
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// The body, after a look at the status.
    ///
    /// # Panics
    /// When the status is another one, with the body in the message.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "the answer was: {}", self.text);
        self.body
    }
}

/// A namespace to be made, with its `default` service account, for which no controller is waited.
#[derive(Debug, Clone)]
pub struct Namespace {
    name: String,
    labels: Map<String, Value>,
    annotations: Map<String, Value>,
}

impl Namespace {
    /// A namespace without labels.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), labels: Map::new(), annotations: Map::new() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Switches injection on.
    #[must_use]
    pub fn opted_in(self) -> Self {
        self.label("spark-injector.io/inject", "enabled")
    }

    /// Switches isolation on: every pod gets the node selector.
    #[must_use]
    pub fn isolated(self) -> Self {
        self.label("spark-injector.io/isolate", "enabled")
    }

    /// Sets the node-selector annotation.
    #[must_use]
    pub fn node_selector(self, selector: &str) -> Self {
        self.annotation("scheduler.alpha.kubernetes.io/node-selector", selector)
    }

    /// Sets a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.into());
        self
    }

    /// Sets an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.into());
        self
    }

    /// The object, for an API server or a directory of inputs.
    pub fn object(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Namespace",
               "metadata": {"name": self.name, "labels": self.labels, "annotations": self.annotations}})
    }
}

/// A connection with a credential; cheap to clone.
#[derive(Clone)]
pub struct Api {
    url: String,
    client: kube::Client,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Api").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Api {
    /// A connection to `url`, whose certificate an authority (DER) must have signed.
    pub fn new(url: &str, authority: &[u8], credential: Credential) -> Self {
        let mut config = kube::Config::new(url.parse().expect("a URL"));
        config.root_cert = Some(vec![authority.to_vec()]);
        config.connect_timeout = Some(Duration::from_secs(5));
        config.read_timeout = Some(Duration::from_secs(60));
        // A test looks at the first answer, not at the one after three silent attempts.
        config.default_retry = false;
        config.auth_info = match credential {
            Credential::None => AuthInfo::default(),
            Credential::Certificate(identity) => AuthInfo {
                client_certificate_data: Some(BASE64.encode(identity.certificate)),
                client_key_data: Some(BASE64.encode(identity.key).into()),
                ..AuthInfo::default()
            },
            Credential::Token(token) => AuthInfo { token: Some(token.into()), ..AuthInfo::default() },
        };
        let _inside = runtime::handle().enter();
        let client = kube::Client::try_from(config).expect("a client of this configuration");
        Self { url: url.to_owned(), client }
    }

    /// The client underneath, for what this module does not offer. It lives on a runtime of this crate.
    pub fn kube(&self) -> kube::Client {
        self.client.clone()
    }

    /// Sends one request; `Err` only where no answer came.
    ///
    /// # Errors
    /// The reason, as text.
    pub fn send(&self, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> Result<Reply, String> {
        let mut request = Request::builder().method(method).uri(path).header("accept", "application/json");
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Body::from(body)).map_err(|error| error.to_string())?;
        runtime::block_on(async {
            let response = self.client.send(request).await.map_err(|error| describe(&error))?;
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.map_err(|error| describe(&error))?.to_bytes();
            let warnings = parts.headers.get_all("warning").iter().filter_map(|value| value.to_str().ok());
            Ok(Reply {
                status: parts.status.as_u16(),
                body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
                text: String::from_utf8_lossy(&bytes).into_owned(),
                warnings: warnings.map(warning_text).collect(),
                headers: parts.headers,
            })
        })
    }

    #[track_caller]
    fn json(&self, method: &str, path: &str, content_type: &str, body: &Value) -> Reply {
        self.send(method, path, content_type, body.to_string().into_bytes())
            .unwrap_or_else(|error| panic!("{method} {}{path}: {error}", self.url))
    }

    /// GET of any path.
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", Vec::new())
            .unwrap_or_else(|error| panic!("GET {}{path}: {error}", self.url))
    }

    /// POST of JSON to any path.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.json("POST", path, "application/json", body)
    }

    /// PATCH of any path with this content type, as in `application/merge-patch+json`.
    #[track_caller]
    pub fn patch(&self, path: &str, content_type: &str, body: &Value) -> Reply {
        self.json("PATCH", path, content_type, body)
    }

    /// Creates an object.
    #[track_caller]
    pub fn create(&self, object: &Value) -> Reply {
        self.post(&collection_path(object), object)
    }

    /// Creates an object without keeping it.
    #[track_caller]
    pub fn dry_run(&self, object: &Value) -> Reply {
        self.post(&format!("{}?dryRun=All", collection_path(object)), object)
    }

    /// Reads the object of this kind, namespace and name.
    #[track_caller]
    pub fn read(&self, object: &Value) -> Reply {
        self.get(&object_path(object))
    }

    /// All objects of a kind, in one namespace or in all (`None`).
    #[track_caller]
    pub fn list(&self, api_version: &str, kind: &str, namespace: Option<&str>) -> Vec<Value> {
        let kind = json!({"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace}});
        let body = self.get(&collection_path(&kind)).expect(200);
        body["items"].as_array().cloned().unwrap_or_default()
    }

    /// Creates or replaces by server-side apply.
    ///
    /// # Panics
    /// When the API server refuses.
    #[track_caller]
    pub fn apply(&self, object: &Value) -> Value {
        let path = format!("{}?fieldManager=acceptance&force=true", object_path(object));
        let reply = self.patch(&path, "application/apply-patch+yaml", object);
        assert!(matches!(reply.status, 200 | 201), "apply {path}: {}", reply.text);
        reply.body
    }

    /// Deletes the object of this kind, namespace and name at once. A namespace stays in `Terminating`
    /// where there is no controller manager.
    #[track_caller]
    pub fn delete(&self, object: &Value) -> Reply {
        self.json("DELETE", &object_path(object), "application/json", &json!({"gracePeriodSeconds": 0}))
    }

    /// Makes a namespace and its service account `default`.
    #[track_caller]
    pub fn create_namespace(&self, namespace: &Namespace) {
        self.create(&namespace.object()).expect(201);
        self.ensure_service_account(&namespace.name, "default");
    }

    /// Makes a service account where it is not there: a controller may have been faster.
    #[track_caller]
    pub fn ensure_service_account(&self, namespace: &str, name: &str) {
        let metadata = json!({"name": name, "namespace": namespace});
        let reply = self.create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}));
        assert!(matches!(reply.status, 201 | 409), "service account {namespace}/{name}: {}", reply.text);
    }

    /// Makes a service account.
    #[track_caller]
    pub fn create_service_account(&self, namespace: &str, name: &str) {
        let metadata = json!({"name": name, "namespace": namespace});
        self.create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})).expect(201);
    }

    /// A token of a service account, good for an hour.
    #[track_caller]
    pub fn token(&self, namespace: &str, service_account: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let body = self.post(&path, &request).expect(201);
        body["status"]["token"].as_str().expect("a token").to_owned()
    }

    /// Applies a Secret.
    #[track_caller]
    pub fn apply_secret(&self, namespace: &str, name: &str, data: &[(&str, &[u8])]) -> Value {
        self.apply(&secret(namespace, name, data))
    }

    /// Applies a `ConfigMap`.
    #[track_caller]
    pub fn apply_config_map(&self, namespace: &str, name: &str, data: &[(&str, &str)]) -> Value {
        self.apply(&config_map(namespace, name, data))
    }

    /// A `ValidatingAdmissionPolicy` of this name and spec, and the binding by which it denies; it takes a moment until it
    /// does.
    #[track_caller]
    pub fn apply_policy(&self, name: &str, spec: &Value) {
        let spec_of_binding = json!({"policyName": name, "validationActions": ["Deny"]});
        for (kind, spec) in
            [("ValidatingAdmissionPolicy", spec), ("ValidatingAdmissionPolicyBinding", &spec_of_binding)]
        {
            self.apply(&json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
                "metadata": {"name": name}, "spec": spec}));
        }
    }

    /// Applies a `PriorityClass`.
    #[track_caller]
    pub fn apply_priority_class(&self, name: &str, value: i32) -> Value {
        self.apply(&json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
                           "metadata": {"name": name}, "value": value}))
    }
}

/// A Secret as an object.
pub fn secret(namespace: &str, name: &str, data: &[(&str, &[u8])]) -> Value {
    let data: Map<String, Value> =
        data.iter().map(|(key, value)| ((*key).to_owned(), BASE64.encode(value).into())).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": data})
}

/// A `ConfigMap` as an object.
pub fn config_map(namespace: &str, name: &str, data: &[(&str, &str)]) -> Value {
    let data: Map<String, Value> =
        data.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data})
}

/// The REST path of all objects of the object's kind in its namespace.
pub fn collection_path(object: &Value) -> String {
    let api_version = object["apiVersion"].as_str().expect("apiVersion");
    let kind = object["kind"].as_str().expect("kind");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let root = if group.is_empty() { "/api" } else { "/apis" };
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{root}/{api_version}/namespaces/{namespace}/{}", resource.plural),
        None => format!("{root}/{api_version}/{}", resource.plural),
    }
}

/// The REST path of the object.
pub fn object_path(object: &Value) -> String {
    format!("{}/{}", collection_path(object), object["metadata"]["name"].as_str().expect("metadata.name"))
}

/// The text inside `299 - "text"`.
fn warning_text(header: &str) -> String {
    let quoted = header.splitn(3, ' ').nth(2).unwrap_or(header);
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(quoted);
    inner.replace("\\\"", "\"").replace("\\\\", "\\")
}

/// An error with its causes: the outermost text alone says "client error (Connect)".
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
