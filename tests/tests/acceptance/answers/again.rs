//! Answers after which the API server asks once more: what a replica says that drains, starts or is overloaded. The
//! next call may reach another replica.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use acceptance::client::{Api, Namespace};
use acceptance::cluster::Cluster;
use acceptance::process::wait_until;
use acceptance::recorder::RawAnswer;
use acceptance::registration::STATUS_ANNOTATION;
use serde_json::{Value, json};

use super::{POLICIES, assert_call_failed, fine, namespace, recorder, status};
use crate::world::{Plan, World, driver, one_file, profile};

/// An answer `busy-CODE-TIMES` fails with this code so many times before it allows; `-AFTER` is its `Retry-After`.
struct Busy {
    code: u16,
    times: usize,
    after: String,
}

fn parse(name: &str) -> Option<Busy> {
    let mut parts = name.strip_prefix("busy-")?.splitn(3, '-');
    let (code, times) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(Busy { code, times, after: parts.next().unwrap_or("1").to_owned() })
}

/// Counts the calls for each pod.
fn busy() -> impl Fn(&str, &Value) -> RawAnswer + Send + Sync + 'static {
    let asked = Mutex::new(HashMap::<String, usize>::new());
    move |name, review| {
        let Some(Busy { code, times, after }) = parse(name) else { return fine(review) };
        let key = format!("{}/{name}", review["request"]["namespace"]);
        let mut asked = asked.lock().expect("no test panics in here");
        let count = asked.entry(key).or_default();
        *count += 1;
        if *count > times {
            return fine(review);
        }
        let mut answer = status(code, "text/plain", "busy\n");
        // An HTTP date is as good to a browser.
        let after = if after == "date" { "Wed, 21 Oct 2099 07:28:00 GMT".to_owned() } else { after };
        answer.headers.push(("retry-after", after));
        answer.headers.push(("connection", "close".to_owned()));
        answer
    }
}

#[test]
fn retry_after_is_followed_and_the_pod_is_none_the_worse() {
    let api = Cluster::shared().admin();
    let (recorder, _registered) = recorder(api, "busy", busy());
    for policy in POLICIES {
        for code in [503, 429, 500] {
            recorder.clear();
            let begin = Instant::now();
            let reply = api.dry_run(&driver(&namespace("busy", policy), &format!("busy-{code}-1")));
            assert_eq!(reply.status, 201, "{code}: {}", reply.text);
            assert_eq!(recorder.reviews().len(), 2, "{code}");
            assert!(begin.elapsed() >= Duration::from_secs(1), "{code} was asked again at once");
        }
    }
}

#[test]
fn retry_after_is_followed_ten_times_within_the_time_out_and_only_as_a_number_with_429_or_5xx() {
    let api = Cluster::shared().admin();
    let (recorder, _registered) = recorder(api, "again", busy());
    let ask = |name: &str, policy: &str| {
        recorder.clear();
        let reply = api.dry_run(&driver(&namespace("again", policy), name));
        (reply, recorder.reviews().len())
    };
    for policy in POLICIES {
        let (reply, calls) = ask("busy-503-10-0", policy);
        assert_eq!((reply.status, calls), (201, 11), "ten times: {}", reply.text);
        let (reply, calls) = ask("busy-503-11-0", policy);
        assert_call_failed(policy, &reply, "an eleventh time");
        assert_eq!(calls, 11);
        for (name, what) in [
            ("busy-400-1", "another code"),
            ("busy-409-1", "another code"),
            ("busy-503-1-date", "a date"),
            ("busy-503-1-1.5", "no whole number"),
        ] {
            let (reply, calls) = ask(name, policy);
            assert_call_failed(policy, &reply, what);
            assert_eq!(calls, 1, "{what}");
        }
        // The third and last second of the time-out is over before the next call.
        let (reply, calls) = ask("busy-503-9", policy);
        assert_call_failed(policy, &reply, "the time-out");
        assert!((2..=4).contains(&calls), "{calls} calls");
    }
}

/// Where a redirection leads, the recorder answers: any path is its own.
fn elsewhere(name: &str, review: &Value) -> RawAnswer {
    let Some(code) = name.strip_prefix("elsewhere-").and_then(|code| code.parse().ok()) else {
        return fine(review);
    };
    let mut answer = status(code, "text/plain", "over there\n");
    answer.headers.push(("location", "/record/elsewhere".to_owned()));
    answer
}

/// Whoever may write a webhook configuration could have the API server ask anybody anything: one more reason for us
/// never to redirect.
#[test]
fn redirections_are_followed() {
    let api = Cluster::shared().admin();
    let (recorder, _registered) = recorder(api, "elsewhere", elsewhere);
    for (code, calls, with_body) in
        [(301, 2, false), (302, 2, false), (303, 2, false), (307, 10, true), (308, 10, true)]
    {
        recorder.clear();
        let reply = api.dry_run(&driver(&namespace("elsewhere", "Fail"), &format!("elsewhere-{code}")));
        let told = assert_call_failed("Fail", &reply, "a redirection");
        let reviews = recorder.reviews();
        assert_eq!(reviews.len(), calls, "{code}: {told}");
        // The second one is a GET, or the same POST.
        assert_eq!(reviews[1].is_object(), with_body, "{code}: {told}");
    }
}

fn unavailable(world: &World) -> usize {
    let metrics = world.webhook.metrics();
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("spark_injector_admission_requests_total{outcome=\"unavailable\""));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
}

fn late(api: &Api, world: &str) -> Namespace {
    let late = Namespace::new(&format!("{world}-late")).opted_in().label("acceptance/world", world);
    api.create_namespace(&late);
    late
}

/// Our own 503, for a namespace that the API server knows and the webhook does not yet.
#[test]
fn a_pod_that_is_faster_than_its_namespace_waits_and_is_injected() {
    let world = World::start(Plan { name: "again-ours", ..Plan::default() });
    let late = late(&world.api, "again-ours");
    let pod = driver(late.name(), "early");
    let stored = std::thread::scope(|scope| {
        let created = scope.spawn(|| world.api.create(&pod));
        let told = wait_until(Duration::from_secs(10), || (unavailable(&world) > 0).then_some(()));
        assert!(told.is_some(), "it is not told to come back");
        world.rewrite(&[profile(late.name(), &json!({"files": one_file()})), late.object()]);
        created.join().expect("the pod's answer").expect(201)
    });
    assert!(stored["metadata"]["annotations"][STATUS_ANNOTATION].is_string(), "{stored}");
    // Its line may still be on its way when that of the first call has come.
    let logged = wait_until(Duration::from_secs(10), || {
        (world.logged(late.name(), "early")["outcome"] == "injected").then_some(())
    });
    assert!(logged.is_some(), "{}", world.logged(late.name(), "early"));
}

#[test]
fn a_namespace_that_never_becomes_known_is_asked_for_until_the_time_out() {
    let world = World::start(Plan { name: "again-never", ..Plan::default() });
    let late = late(&world.api, "again-never");
    let reply = world.api.create(&driver(late.name(), "never"));
    let told = assert_call_failed("Fail", &reply, "an unknown namespace");
    assert!(told.ends_with("context deadline exceeded"), "{told}");
    assert!(unavailable(&world) >= 2, "it was asked once");
    assert_eq!(world.logged(late.name(), "never")["reason"], "namespace_unknown");
}
