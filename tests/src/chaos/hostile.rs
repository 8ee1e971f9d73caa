//! Scenes about clients that mean no good, straight at one replica, while the API server's calls go on. What is
//! promised: no pod fails, and memory stays below half of what the manifests give to a replica, the rest being for the kernel.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use super::Finding;
use super::client::{self, Client};
use super::load::Load;
use super::stage::{NAMESPACE, Stage};
use super::vitals::Vitals;
use crate::client::Namespace;
use crate::process::wait_until;
use crate::runtime;

/// Half of the limit in `manifests/base/deployment.yaml`: the rest is for buffers of the kernel.
const MEMORY_MIB: u64 = 512;

/// How long a client may keep a connection busy without getting on: the deadlines of the server, and some patience.
const DEADLINE: Duration = Duration::from_secs(20);

/// How hard the scenes are.
#[derive(Debug, Clone, Copy)]
pub struct Force {
    /// Slow clients at the same time.
    pub slow: usize,
    /// Large bodies at the same time.
    pub bodies: usize,
    /// Connections on which nothing is sent.
    pub idle: usize,
    /// How long the floods go on.
    pub flood: Duration,
    /// Good creations per second meanwhile.
    pub per_second: u32,
}

/// All scenes, one after the other.
pub fn all(stage: &mut Stage, force: &Force) -> Vec<Finding> {
    let mut findings: Vec<_> =
        [slow, large, endless, idle, handshakes].into_iter().map(|play| play(stage, force)).collect();
    findings.push(no_descriptors(stage, force));
    findings
}

/// Clients that send headers or bodies byte by byte, or read no answer.
pub fn slow(stage: &Stage, force: &Force) -> Finding {
    let title = format!("Slow headers, slow bodies, slow reads: {} clients each", force.slow);
    scene(stage, force, &title, slow_clients(victim(stage), force.slow))
}

/// Bodies that are too much together.
pub fn large(stage: &Stage, force: &Force) -> Finding {
    let title = format!("{} bodies of 3 MiB", force.bodies);
    scene(stage, force, &title, large_bodies(victim(stage), force.bodies))
}

/// Bodies without an end.
pub fn endless(stage: &Stage, force: &Force) -> Finding {
    scene(stage, force, "Endless bodies, 20 clients", endless_bodies(victim(stage)))
}

/// Connections on which nothing is asked.
pub fn idle(stage: &Stage, force: &Force) -> Finding {
    let title = format!("{} idle connections", force.idle);
    scene(stage, force, &title, idle_connections(victim(stage), force.idle))
}

/// Handshakes without a request, whole and broken.
pub fn handshakes(stage: &Stage, force: &Force) -> Finding {
    scene(stage, force, "Flood of handshakes", flood(victim(stage), force.flood))
}

fn victim(stage: &Stage) -> Client {
    Client::new(stage, stage.replicas[0].review_address())
}

/// What an attack found: figures, and promises of its own.
pub(super) type Found = Vec<(Option<bool>, String)>;

/// Plays an attack while pods are created.
pub(super) fn scene(
    stage: &Stage,
    force: &Force,
    title: &str,
    attack: impl Future<Output = Found>,
) -> Finding {
    let mut finding = Finding::new(title);
    let victim = stage.replicas[0].id();
    let load = Load::start(&stage.api, force.per_second);
    let before = Vitals::of(victim);
    let found = runtime::block_on(attack);
    let tally = load.stop();
    let after = Vitals::of(victim);
    for (holds, what) in found {
        match holds {
            None => finding.measured(what),
            Some(holds) => finding.promise(holds, what),
        }
    }
    finding.measured(&tally);
    finding.promise(tally.failed == 0, format_args!("good clients stay served ({} failures)", tally.failed));
    let (before, now, peak) = (before.mebibytes(), after.mebibytes(), after.peak_mebibytes());
    finding.measured(format_args!("resident memory {before} MiB before, {now} MiB after, peak {peak} MiB"));
    finding.promise(peak > 0 && peak < MEMORY_MIB, format_args!("memory stays below {MEMORY_MIB} MiB"));
    finding
}

/// Runs one task per client and gathers what they say.
async fn each<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    count: usize,
    task: impl Fn() -> F,
) -> Vec<T> {
    let mut tasks: Vec<_> = (0..count).map(|_| tokio::spawn(task())).collect();
    let mut results = Vec::with_capacity(count);
    for task in &mut tasks {
        results.push(task.await.expect("a client that does not panic"));
    }
    results
}

/// All three at the same time: a deadline has to pass only once.
async fn slow_clients(client: Client, count: usize) -> Found {
    let (headers, bodies, reads) = tokio::join!(
        dribble(client.clone(), count, "X-Slow: ", b'a'),
        dribble(client.clone(), count, "Content-Length: 100000\r\n\r\n", b' '),
        slow_reads(client, count)
    );
    vec![cut("header", &headers), cut("body", &bodies), reads]
}

fn cut(what: &str, times: &[Option<Duration>]) -> (Option<bool>, String) {
    let open = times.iter().filter(|time| time.is_none()).count();
    let longest = times.iter().flatten().max().copied().unwrap_or_default().as_secs_f64();
    (
        Some(open == 0),
        format!("whoever sends a {what} byte by byte is cut, the last after {longest:.1} s ({open} are not)"),
    )
}

/// They send a head, and then `byte` after `byte`: how long each was let, if it was cut at all.
async fn dribble(client: Client, count: usize, head: &'static str, byte: u8) -> Vec<Option<Duration>> {
    let times = each(count, || {
        let client = client.clone();
        async move {
            let Ok(mut stream) = client.connect().await else { return Some(Duration::ZERO) };
            if stream.write_all(client::head(head).as_bytes()).await.is_err() {
                return Some(Duration::ZERO);
            }
            client::dribble(&mut stream, byte, DEADLINE).await
        }
    });
    times.await
}

/// They ask and ask, and never read an answer, until the server takes nothing more.
async fn slow_reads(client: Client, count: usize) -> (Option<bool>, String) {
    let request = client::request(&client::review(&Namespace::new(NAMESPACE), 10));
    let sent = each(count, || {
        let (client, request) = (client.clone(), request.clone());
        async move {
            let Ok(mut stream) = client.connect_narrow().await else { return 0 };
            let mut sent = 0;
            let begin = Instant::now();
            while begin.elapsed() < DEADLINE / 2 {
                let write = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&request));
                match write.await {
                    Ok(Ok(())) => sent += 1,
                    // Full, as it should be: what is not read is not answered.
                    Err(_) => {}
                    Ok(Err(_)) => break,
                }
            }
            sent
        }
    });
    let sent: usize = sent.await.into_iter().sum();
    (None, format!("{sent} requests were written without reading an answer"))
}

async fn large_bodies(client: Client, count: usize) -> Found {
    let request = std::sync::Arc::new(client::request(&client::review(&Namespace::new(NAMESPACE), 3 << 20)));
    let answers = each(count, || {
        let (client, request) = (client.clone(), std::sync::Arc::clone(&request));
        async move {
            let Ok(mut stream) = client.connect().await else { return None };
            // The answer may come before the body has gone.
            let _ = stream.write_all(&request).await;
            let mut buffer = Vec::new();
            tokio::time::timeout(Duration::from_secs(60), client::answer(&mut stream, &mut buffer))
                .await
                .ok()?
        }
    });
    let answers = answers.await;
    let count_of = |status: Option<u16>| answers.iter().filter(|answer| **answer == status).count();
    let (fine, busy, none) = (count_of(Some(200)), count_of(Some(503)), count_of(None));
    // The body did not arrive in time: on a machine that is busy, that is no fault of the server.
    let late = count_of(Some(408));
    let other = answers.len() - fine - busy - none - late;
    vec![
        (None, format!("{fine} answered, {busy} told to come back (503), {late} too late (408)")),
        (Some(none == 0), format!("everybody gets an answer ({none} did not)")),
        (Some(other == 0), format!("nobody gets any other answer ({other} did)")),
    ]
}

async fn endless_bodies(client: Client) -> Found {
    let sent = each(20, || {
        let client = client.clone();
        async move {
            let Ok(mut stream) = client.connect().await else { return (0, true) };
            let start = client::head("Transfer-Encoding: chunked\r\n\r\n");
            let _ = stream.write_all(start.as_bytes()).await;
            let chunk = [b"10000\r\n".as_slice(), &b" ".repeat(0x10000), b"\r\n"].concat();
            let begin = Instant::now();
            let mut sent = 0;
            while begin.elapsed() < DEADLINE {
                match tokio::time::timeout(Duration::from_secs(1), stream.write_all(&chunk)).await {
                    Ok(Ok(())) => sent += chunk.len(),
                    Ok(Err(_)) => return (sent, true),
                    Err(_) => {}
                }
            }
            (sent, false)
        }
    });
    let sent = sent.await;
    let most = sent.iter().map(|(bytes, _)| bytes).max().copied().unwrap_or_default();
    let all_cut = sent.iter().all(|(_, cut)| *cut);
    vec![(Some(all_cut), format!("every one is cut, the most patient after {} MiB", most >> 20))]
}

/// Half of them have made their handshake, half have not said a word.
async fn idle_connections(client: Client, count: usize) -> Found {
    let silent = each(count / 2, || {
        let client = client.clone();
        async move { client.plain().await.ok() }
    })
    .await;
    let mut greeted = Vec::new();
    // All at once would be the flood of handshakes, which is another scene.
    while greeted.len() < count / 2 {
        let some = each(100.min(count / 2 - greeted.len()), || {
            let client = client.clone();
            async move { client.connect().await.ok() }
        });
        greeted.extend(some.await);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let open = silent.iter().flatten().count() + greeted.iter().flatten().count();
    vec![(None, format!("{open} of {count} connections were taken"))]
}

/// Half of them finish the handshake and go, half send garbage.
async fn flood(client: Client, lasting: Duration) -> Found {
    let begin = Instant::now();
    let counts = each(50, || {
        let client = client.clone();
        async move {
            let mut count = 0;
            while begin.elapsed() < lasting {
                let well = tokio::time::timeout(Duration::from_secs(10), client.connect()).await;
                count += usize::from(matches!(well, Ok(Ok(_))));
                if let Ok(mut stream) = client.plain().await {
                    let _ = stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03garbage").await;
                }
            }
            count
        }
    });
    let count: usize = counts.await.into_iter().sum();
    vec![(None, format!("{count} handshakes and as many broken ones in {} s", lasting.as_secs()))]
}

/// A replica that may hold 64 descriptors gets 300 connections.
pub fn no_descriptors(stage: &mut Stage, force: &Force) -> Finding {
    let mut finding = Finding::new("No descriptors left (EMFILE)");
    let replica = stage.replica_limited(64);
    let address = replica.review_address();
    stage.join(replica);
    let load = Load::start(&stage.api, force.per_second);
    let client = Client::new(stage, address);
    let held = runtime::block_on(async {
        let streams = each(300, || {
            let client = client.clone();
            async move { client.plain().await.ok() }
        });
        let streams = streams.await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        streams.iter().flatten().count()
    });
    finding.measured(format_args!("{held} connections were held for 2 s"));
    let served = wait_until(Duration::from_secs(30), || {
        let asked = async {
            let mut stream = client.connect().await.ok()?;
            let request = client::request(&client::review(&Namespace::new(NAMESPACE), 10));
            stream.write_all(&request).await.ok()?;
            client::answer(&mut stream, &mut Vec::new()).await
        };
        runtime::block_on(async { tokio::time::timeout(Duration::from_secs(5), asked).await.ok()? })
            .filter(|status| *status == 200)
    });
    let tally = load.stop();
    finding.measured(&tally);
    finding.promise(served.is_some(), "it serves again once descriptors are free");
    let mut replica = stage.replicas.pop().expect("the replica that was added");
    finding.promise(replica.ended().is_none(), "it is the same process");
    finding.promise(tally.failed == 0, format_args!("good clients stay served ({} failures)", tally.failed));
    stage.balancer.retire(address);
    finding
}
