//! Single requests as plain JSON, with status and warnings in sight: for whoever wants to know what an API server
//! answers, not only what it has.

use std::time::Duration;

use http::{HeaderMap, Request, header};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use super::Connection;

/// A healthy API server needs milliseconds, and at most the time-outs of its webhooks.
const TIMEOUT: Duration = Duration::from_secs(40);

/// Objects of one page of a list.
const PAGE: usize = 500;

/// Asks an API server.
#[derive(Clone)]
pub struct Api {
    client: Client,
    address: String,
}

/// An answer, whatever its status.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The body, null where it is not JSON.
    pub body: Value,
    /// The texts of the `Warning` headers.
    pub warnings: Vec<String>,
}

impl Reply {
    /// The message of a failure, empty where there is none.
    pub fn message(&self) -> &str {
        self.body.get("message").and_then(Value::as_str).unwrap_or_default()
    }
}

/// Why something could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unread {
    /// It is not there.
    Missing,
    /// Whoever asks may not read it.
    Forbidden(String),
    /// Anything else.
    Failed(String),
}

impl Unread {
    /// In words.
    pub fn sentence(&self) -> &str {
        match self {
            Self::Missing => "it is not there",
            Self::Forbidden(message) | Self::Failed(message) => message,
        }
    }
}

impl Api {
    /// Asks over this connection.
    pub fn new(connection: Connection) -> Self {
        let Connection { client, address } = connection;
        Self { client, address }
    }

    /// The answer to a GET.
    ///
    /// # Errors
    ///
    /// When there is no answer at all.
    pub async fn get(&self, path: &str) -> Result<Reply, String> {
        self.send(Request::get(path), Vec::new()).await
    }

    /// The answer to a POST.
    ///
    /// # Errors
    ///
    /// When there is no answer at all.
    pub async fn post(&self, path: &str, object: &Value) -> Result<Reply, String> {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        self.send(request, object.to_string().into_bytes()).await
    }

    /// An object or a whole list.
    ///
    /// # Errors
    ///
    /// When it is not there, or may not or cannot be read.
    pub async fn read(&self, path: &str) -> Result<Value, Unread> {
        let reply = self.get(path).await.map_err(Unread::Failed)?;
        match reply.status {
            200 if reply.body.is_object() => Ok(reply.body),
            404 => Err(Unread::Missing),
            401 | 403 => Err(Unread::Forbidden(reply.message().to_owned())),
            status if reply.message().is_empty() => Err(Unread::Failed(format!(
                "the answer of {}, with HTTP status {status}, is not that of an API server",
                self.address
            ))),
            status => Err(Unread::Failed(format!("HTTP status {status}: {}", reply.message()))),
        }
    }

    /// Every object of a list, page by page. `path` has a query already, or none.
    ///
    /// # Errors
    ///
    /// As [`Api::read`].
    pub async fn list(&self, path: &str) -> Result<Vec<Value>, Unread> {
        let mut items = Vec::new();
        let mut next = String::new();
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let mut list = self.read(&format!("{path}{separator}limit={PAGE}{next}")).await?;
            if let Some(Value::Array(page)) = list.get_mut("items").map(Value::take) {
                items.extend(page);
            }
            match list.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => next = format!("&continue={token}"),
                _ => return Ok(items),
            }
        }
    }

    async fn send(&self, request: http::request::Builder, body: Vec<u8>) -> Result<Reply, String> {
        let request = request.body(Body::from(body)).map_err(|error| error.to_string())?;
        let answered = async {
            let response = self.client.send(request).await.map_err(|error| {
                let why = super::describe(&error);
                format!("{}: {why}", self.address)
            })?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|_| "the answer was cut off")?.to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            Ok(Reply { status: parts.status.as_u16(), body, warnings: warnings(&parts.headers) })
        };
        tokio::time::timeout(TIMEOUT, answered).await.map_err(|_| "no answer in time".to_owned())?
    }
}

/// The texts of `Warning: 299 - "text"`.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let text = |value: &http::HeaderValue| {
        let quoted = value.to_str().ok()?.splitn(3, ' ').nth(2)?.to_owned();
        Some(serde_json::from_str(&quoted).unwrap_or(quoted))
    };
    headers.get_all(header::WARNING).iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_lose_their_wrapping() {
        let mut headers = HeaderMap::new();
        headers.append(header::WARNING, "299 - \"profile \\\"a\\\" is in mode Audit\"".parse().unwrap());
        headers.append(header::WARNING, "299 - unquoted".parse().unwrap());
        assert_eq!(warnings(&headers), ["profile \"a\" is in mode Audit", "unquoted"]);
    }
}
