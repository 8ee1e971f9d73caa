//! Years of rotation in some seconds, while pods are created.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use acceptance::process::wait_until;

use super::replicas::Replicas;

/// A long run by hand has more of the same.
fn how_long() -> Duration {
    let seconds = std::env::var("SPARK_INJECTOR_ROTATION_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(30))
}

#[test]
fn authorities_and_leaves_that_are_replaced_every_few_seconds_cost_no_pod() {
    let replicas = Replicas::start("rotation", ["27s", "9s"]);
    let witness = replicas.witness();
    let (stop, created, begin) = (AtomicBool::new(false), AtomicUsize::new(0), Instant::now());
    let refused: Vec<String> = std::thread::scope(|scope| {
        let creators: Vec<_> = (0..2)
            .map(|creator| {
                let (replicas, stop, created) = (&replicas, &stop, &created);
                scope.spawn(move || {
                    let mut refused = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let number = created.fetch_add(1, Ordering::Relaxed);
                        let reply = replicas.create(&format!("driver-{creator}-{number}"));
                        if reply.status != 201 || !reply.text.contains("spark-injector.io/status") {
                            refused.push(format!("{:?}: {}", begin.elapsed(), reply.text));
                        }
                    }
                    refused
                })
            })
            .collect();
        let enough = wait_until(Duration::from_secs(180) + how_long(), || {
            let (leaves, bundles) = witness.counts();
            (begin.elapsed() >= how_long() && leaves >= 4 && bundles >= 4).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        let refused = creators.into_iter().flat_map(|creator| creator.join().expect("a creator")).collect();
        assert!(enough.is_some(), "only {:?} leaves and bundles", witness.counts());
        refused
    });
    let seen = witness.tell();
    eprintln!(
        "{} pods, {} handshakes, {} leaves, {} bundles in {:?}",
        created.load(Ordering::Relaxed),
        seen.handshakes,
        seen.leaves.len(),
        seen.bundles.len(),
        begin.elapsed()
    );
    assert_eq!((refused, seen.troubles), (Vec::new(), Vec::new()));
    // Every change of the authority has a moment with both, and nothing is kept for ever.
    let most = seen.bundles.iter().flatten().map(|bundle| bundle.matches("BEGIN").count()).max();
    assert!((2..=3).contains(&most.unwrap_or_default()), "{most:?} authorities at once");
}
