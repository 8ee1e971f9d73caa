//! Scene: connections that nobody uses for a while.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::Finding;
use super::client::{self, Client};
use super::stage::{NAMESPACE, Stage};
use crate::client::Namespace;
use crate::runtime;

/// What an API server keeps for one webhook.
const CONNECTIONS: usize = 25;

/// The API server gives an idle connection up after 90 s. Whoever ends it before that ends a pod with it: a request that
/// dies with its connection is not repeated.
pub fn idle(stage: &Stage, lasting: Duration) -> Finding {
    let mut finding = Finding::new(&format!("Connections idle for {} s", lasting.as_secs()));
    let client = Client::new(stage, stage.replicas[0].review_address());
    let (before, after) = runtime::block_on(async {
        let mut streams = Vec::new();
        for _ in 0..CONNECTIONS {
            streams.push(client.connect().await.expect("a connection"));
        }
        let request = client::request(&client::review(&Namespace::new(NAMESPACE), 10));
        let mut answered = [0, 0];
        for (round, answered) in answered.iter_mut().enumerate() {
            if round > 0 {
                tokio::time::sleep(lasting).await;
            }
            for stream in &mut streams {
                // A connection that is gone is found by reading.
                let _ = stream.write_all(&request).await;
                let answer = client::answer(stream, &mut Vec::new()).await;
                *answered += usize::from(answer == Some(200));
            }
        }
        (answered[0], answered[1])
    });
    finding.measured(format_args!("{before} of {CONNECTIONS} connections answered at first"));
    finding.promise(
        before == CONNECTIONS && after == CONNECTIONS,
        format_args!("{after} of {CONNECTIONS} connections answer after it"),
    );
    finding
}
