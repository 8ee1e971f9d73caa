//! Scene: a long time at full speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use super::Finding;
use super::client::{self, Client};
use super::stage::{NAMESPACE, Stage};
use super::vitals::Vitals;
use crate::client::Namespace;
use crate::runtime;

/// Connections that ask one review after the other: about what an API server keeps.
const CONNECTIONS: usize = 8;

/// What an allocator moves back and forth: in a few seconds it would pass for a slope.
const NOISE_KIB: u64 = 1024;

/// One replica is asked as fast as it answers, on connections that stay open and are opened again when they end.
/// Resident memory is fitted with a line over the second half: what grows for ever has a slope.
pub fn soak(stage: &Stage, lasting: Duration) -> Finding {
    let mut finding = Finding::new(&format!("Full speed for {} s", lasting.as_secs()));
    let replica = &stage.replicas[0];
    let client = Client::new(stage, replica.review_address());
    let begin = Instant::now();
    let (answered, wrong) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (client, answered, wrong) = (client.clone(), Arc::clone(&answered), Arc::clone(&wrong));
            runtime::handle().spawn(ask(client, begin + lasting, answered, wrong))
        })
        .collect();
    let mut samples = Vec::new();
    while begin.elapsed() < lasting {
        std::thread::sleep(Duration::from_secs(1).min(lasting / 20));
        samples.push((begin.elapsed().as_secs_f64(), Vitals::of(replica.id())));
    }
    for task in tasks {
        runtime::block_on(task).expect("a client that does not panic");
    }
    let (answered, wrong) = (answered.load(Ordering::Relaxed), wrong.load(Ordering::Relaxed));
    let second_half = &samples[samples.len() / 2..];
    let (first, last) = (second_half[0].1, second_half[second_half.len() - 1].1);
    let slope = slope(second_half);
    finding.measured(format_args!("{answered} reviews answered, {wrong} not answered with 200"));
    finding.measured(format_args!(
        "resident memory {} KiB at half time, {} KiB at the end, peak {} KiB; slope {:.2} KiB per minute",
        first.resident,
        last.resident,
        last.peak,
        slope * 60.0
    ));
    finding.measured(format_args!(
        "{} descriptors at half time, {} at the end",
        first.descriptors, last.descriptors
    ));
    finding.promise(answered > 0 && wrong == 0, "every review is answered");
    // An allocator settles late: what is asked is that a day at full speed stays below the limit of a replica.
    let steady = last.resident <= first.resident + NOISE_KIB || slope * 86_400.0 < 256.0 * 1024.0;
    finding.promise(steady, "memory does not grow by more than 1 MiB, or than 256 MiB a day");
    finding.promise(last.descriptors <= first.descriptors + 2, "no descriptor is left open");
    finding
}

async fn ask(client: Client, until: Instant, answered: Arc<AtomicUsize>, wrong: Arc<AtomicUsize>) {
    let request = client::request(&client::review(&Namespace::new(NAMESPACE), 4096));
    let mut buffer = Vec::new();
    while Instant::now() < until {
        let Ok(mut stream) = client.connect().await else {
            wrong.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        while Instant::now() < until {
            if stream.write_all(&request).await.is_err() {
                break;
            }
            match client::answer(&mut stream, &mut buffer).await {
                Some(200) => answered.fetch_add(1, Ordering::Relaxed),
                Some(_) => wrong.fetch_add(1, Ordering::Relaxed),
                // Between two requests a server may end a connection, having said so in the last answer.
                None => break,
            };
            if client::says_close(&buffer) {
                break;
            }
        }
    }
}

/// KiB per second, by least squares.
fn slope(samples: &[(f64, Vitals)]) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "some thousand samples of some million KiB")]
    let points: Vec<(f64, f64)> = samples.iter().map(|(at, vitals)| (*at, vitals.resident as f64)).collect();
    #[allow(clippy::cast_precision_loss, reason = "some thousand samples")]
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (above, below) = points.iter().fold((0.0, 0.0), |(above, below), point| {
        (above + (point.0 - x) * (point.1 - y), below + (point.0 - x).powi(2))
    });
    if below > 0.0 { above / below } else { 0.0 }
}
