//! Stands before an API server and swallows what it is told to: a request that is never answered, while all others are.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use http::header::HOST;
use http_body_util::BodyExt as _;
use kube::Client;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::client::Api;
use crate::runtime;

/// A relay, in plain HTTP; it asks as the client that it was made with.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    swallowed: Swallowed,
    task: JoinHandle<()>,
}

/// The path of which no request is answered.
type Swallowed = Arc<Mutex<Option<String>>>;

impl Relay {
    /// Listens on a port of its own.
    pub fn start(api: &Api) -> Self {
        let swallowed = Swallowed::default();
        let state = (api.kube(), Arc::clone(&swallowed));
        let app = any(relay).with_state(state);
        let (address, task) = runtime::block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
            let address = listener.local_addr().expect("its address");
            let serve = async { axum::serve(listener, app.into_make_service()).await.expect("a server") };
            (address, tokio::spawn(serve))
        });
        Self { address, swallowed, task }
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers no request for this path from now on, or every one again.
    pub fn swallow(&self, path: Option<&str>) {
        *self.swallowed.lock().unwrap_or_else(PoisonError::into_inner) = path.map(ToOwned::to_owned);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(State((client, swallowed)): State<(Client, Swallowed)>, request: Request) -> Response {
    let is_swallowed =
        swallowed.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(request.uri().path());
    if is_swallowed {
        std::future::pending::<()>().await;
    }
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(HOST);
    let body = body.collect().await.expect("a request").to_bytes().to_vec();
    let answer = client.send(Request::from_parts(parts, kube::client::Body::from(body))).await;
    answer.expect("an answer of the API server").map(Body::new)
}
