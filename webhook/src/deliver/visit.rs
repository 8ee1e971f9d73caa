//! A visit to a namespace: the requests, and nothing but POST and DELETE. The answer to any PATCH, even to one that is
//! refused, can quote a Secret of somebody else; the answers to these two cannot.
//!
//! Whether a Secret is there is asked by a POST of its name alone that stays without effect (`dryRun`): 409 where it is,
//! 201 where it is not. A real POST of what is there would count against the quota of the team each time, until the
//! quota is computed anew, and would send the whole payload.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Limited};
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::time::timeout;

use super::agenda::{Target, Verdict, Visit, Visited};
use super::answer::{self, Answer, Failure, Status};
use super::metrics::{Action, DeliveryMetrics};
use super::pace::Pace;
use crate::catalog::SecretBody;

/// A request takes milliseconds, and at most the time-outs of the webhooks for Secrets: the API server has to be the one
/// that gives up, since only its answer tells a namespace whose webhook hangs from an API server that is away.
const PATIENCE: Duration = Duration::from_secs(40);

/// Answers hold names and a sentence; what was made is not sent back, see [`METADATA_ONLY`].
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Asks for the metadata of what was made, not for the whole of it.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// How many Secrets are kept in the form in which they are sent: enough for the visits under way.
const RECENT_BODIES: usize = 8;

/// Secrets in the form in which they are sent, the newest first.
type Bodies = VecDeque<(Arc<SecretBody>, Bytes)>;

/// Makes visits; cheap to clone.
#[derive(Clone)]
pub(super) struct Visitor {
    client: Client,
    pace: Arc<Pace>,
    metrics: DeliveryMetrics,
    bodies: Arc<Mutex<Bodies>>,
}

impl Visitor {
    pub(super) fn new(client: Client, pace: Pace, metrics: DeliveryMetrics) -> Self {
        Self { client, pace: Arc::new(pace), metrics, bodies: Arc::default() }
    }

    /// Sets a place right, as far as it can be.
    pub(super) async fn visit(&self, visit: &Visit) -> Visited {
        let Target { present, absent, leaves: _, is_unknown } = &visit.target;
        let namespace = &*visit.place.1;
        let mut removal = Ok(());
        let effect = if *is_unknown { Effect::DryRun } else { Effect::Real };
        for name in absent {
            match self.delete(namespace, name, effect).await {
                Answer::Done if effect == Effect::DryRun => {
                    removal = Err(Failure {
                        reason: "UnknownNamespace",
                        message: "the namespace is there and not known here yet".to_owned(),
                    });
                }
                Answer::Done | Answer::Present | Answer::Absent | Answer::Ending => {}
                Answer::Refused(failure) | Answer::Failed(failure) => removal = Err(failure),
                Answer::Away => return Visited::Unsettled(None),
            }
        }
        let Some(secrets) = present else { return Visited::Settled { verdict: None, removal } };
        let mut verdict = Verdict::Present;
        for secret in secrets.iter() {
            match self.ensure(namespace, secret, visit.is_likely).await {
                Answer::Done | Answer::Present => {}
                Answer::Absent | Answer::Ending => {
                    verdict = Verdict::Ending;
                    break;
                }
                Answer::Refused(failure) => verdict = Verdict::Refused(failure),
                Answer::Failed(failure) => return Visited::Unsettled(Some(failure)),
                Answer::Away => return Visited::Unsettled(None),
            }
        }
        Visited::Settled { verdict: Some(verdict), removal }
    }

    async fn ensure(&self, namespace: &str, secret: &Arc<SecretBody>, is_likely: bool) -> Answer {
        if is_likely {
            let asked = self.post(namespace, name_alone(secret.name()), Effect::DryRun).await;
            if matches!(asked, Answer::Present | Answer::Ending | Answer::Away) {
                return asked;
            }
        }
        let Some(body) = self.body(secret) else {
            return Answer::Refused(Failure {
                reason: "Invalid",
                message: "the Secret cannot be written as JSON".to_owned(),
            });
        };
        match self.post(namespace, body, Effect::Real).await {
            // A full quota refuses a Secret before it is seen that the Secret is there.
            Answer::Refused(failure) => match self.delete(namespace, secret.name(), Effect::DryRun).await {
                Answer::Done => Answer::Present,
                _ => Answer::Refused(failure),
            },
            other => other,
        }
    }

    async fn post(&self, namespace: &str, body: Bytes, effect: Effect) -> Answer {
        let path = format!("/api/v1/namespaces/{namespace}/secrets");
        let action = if effect == Effect::Real { Action::Create } else { Action::Probe };
        self.send(Method::POST, path, body, effect, action).await
    }

    async fn delete(&self, namespace: &str, name: &str, effect: Effect) -> Answer {
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
        let action = if effect == Effect::Real { Action::Delete } else { Action::Probe };
        self.send(Method::DELETE, path, Bytes::new(), effect, action).await
    }

    async fn send(
        &self,
        method: Method,
        path: String,
        body: Bytes,
        effect: Effect,
        action: Action,
    ) -> Answer {
        self.pace.wait().await;
        let path = if effect == Effect::Real { path } else { path + "?dryRun=All" };
        let mut request = Request::builder().method(method).uri(path).header(ACCEPT, METADATA_ONLY);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let answer = match request.body(Body::from(body)) {
            Ok(request) => timeout(PATIENCE, self.ask(request)).await.unwrap_or(Answer::Away),
            // Names of namespaces and Secrets are paths: it cannot be.
            Err(_) => Answer::Away,
        };
        self.metrics.answered(action, &answer);
        answer
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        // The error is not shown: it is about the connection, and others say so with more to go by.
        let Ok(response) = self.client.send(request).await else { return Answer::Away };
        let (parts, body) = response.into_parts();
        let status = match Limited::new(body, MAX_ANSWER_BYTES).collect().await {
            Ok(body) => serde_json::from_slice(&body.to_bytes()).unwrap_or_default(),
            Err(_) => Status::default(),
        };
        answer::read(parts.status.as_u16(), &status)
    }

    /// The Secret in the form in which it is sent, made once for all namespaces of a pass.
    fn body(&self, secret: &Arc<SecretBody>) -> Option<Bytes> {
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, body)) = bodies.iter().find(|(known, _)| Arc::ptr_eq(known, secret)) {
            return Some(body.clone());
        }
        let body = Bytes::from(serde_json::to_vec(&secret.anywhere()).ok()?);
        bodies.truncate(RECENT_BODIES - 1);
        bodies.push_front((Arc::clone(secret), body.clone()));
        Some(body)
    }

    /// Lets go of what was kept to be sent again.
    pub(super) fn rest(&self) {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Whether a request is meant, or asks only what it would do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Effect {
    Real,
    DryRun,
}

fn name_alone(name: &str) -> Bytes {
    let object = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name } });
    Bytes::from(object.to_string())
}
