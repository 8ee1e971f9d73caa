//! Many namespaces and large profiles: what compiling them takes, and what they weigh.

use std::process::Command;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spark_injector::catalog::{Catalog, ObjectData, ObjectKey, Settings, Snapshot};

use crate::Progress;
use crate::args::Bench;
use crate::fixtures;
use crate::measure::{Samples, count, memory, micros, thread_cpu};
use crate::report::{Report, Threshold};

const NAMESPACES: usize = 10_000;
const PROFILES: usize = 500;
const BYTES: usize = 700_000;
/// Files of a profile.
const FILES: usize = 10;

/// What a process of its own found.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Found {
    /// Milliseconds of CPU.
    compile: f64,
    unchanged: f64,
    /// The same content in other objects: a source that reads everything anew.
    read_anew: f64,
    one_changed: f64,
    namespace_added: f64,
    /// Megabytes: the inputs, and what the catalog adds to them.
    inputs: f64,
    catalog: f64,
}

pub(crate) fn run(bench: &Bench, progress: &Progress, report: &mut Report) {
    let rounds = if bench.quick { 1 } else { 3 };
    let profiles = if bench.quick { PROFILES / 10 } else { PROFILES };
    let names = ["compile", "unchanged", "read anew", "one changed", "namespace added", "inputs", "catalog"];
    let mut samples: [Samples; 8] = Default::default();
    for round in 1..=rounds {
        progress.say(&format!(
            "catalog, {NAMESPACES} namespaces, {profiles} profiles, round {round} of {rounds}"
        ));
        let found = measure_apart(NAMESPACES, profiles, BYTES);
        // The same profiles and a tenth of the namespaces; small profiles, since the difference is what counts.
        let (few, many) = (measure_apart(NAMESPACES / 10, 20, 3_000), measure_apart(NAMESPACES, 20, 3_000));
        let each = (many.catalog - few.catalog) * 1e3 / count(NAMESPACES - NAMESPACES / 10);
        let figures = [
            found.compile,
            found.unchanged,
            found.read_anew,
            found.one_changed,
            found.namespace_added,
            found.inputs,
            found.catalog,
            each,
        ];
        for (samples, figure) in samples.iter_mut().zip(figures) {
            samples.push(figure);
        }
    }
    let scale = format!("catalog, {NAMESPACES} namespaces, {profiles} profiles of {} kB", BYTES / 1000);
    let [compile, unchanged, anew, one, namespace, inputs, catalog, each] = &samples;
    for (name, figure) in names.iter().zip([compile, unchanged, anew, one, namespace]) {
        report.absolute(&format!("{scale}, {name}"), "ms CPU", figure, Threshold::None);
    }
    report.at_most(&format!("{scale}, one changed against all"), "ms CPU", one, compile, 0.1);
    report.at_most(&format!("{scale}, namespace added against all"), "ms CPU", namespace, compile, 0.1);
    for (name, figure) in names[5..].iter().zip([inputs, catalog]) {
        report.absolute(&format!("{scale}, {name}"), "MB", figure, Threshold::None);
    }
    report.absolute("catalog, memory per namespace", "kB", each, Threshold::None);
}

/// Memory is only clear in a new process.
fn measure_apart(namespaces: usize, profiles: usize, bytes: usize) -> Found {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .arg("catalog")
        .args([namespaces, profiles, bytes].map(|number| number.to_string()))
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("figures")
}

/// Compiles, changes one thing, compiles again; prints what it took.
pub(crate) fn measure(namespaces: usize, profiles: usize, bytes: usize) {
    let resident = || count(memory(std::process::id(), "VmRSS")) / 1e6;
    let settings = Settings::default();
    let mut snapshot = inputs(namespaces, profiles, bytes);
    let before = resident();
    let mut found = Found { inputs: before, ..Found::default() };
    let compile = |snapshot: &Snapshot, previous: Option<&Catalog>| {
        let cpu = thread_cpu();
        let catalog = Catalog::compile(snapshot, &settings, previous);
        let problems = catalog.problems();
        assert!(problems.is_empty(), "{}", problems[0]);
        (catalog, micros(thread_cpu() - cpu) / 1e3)
    };
    let (first, took) = compile(&snapshot, None);
    found.compile = took;
    found.catalog = resident() - before;
    let (second, took) = compile(&snapshot, Some(&first));
    found.unchanged = took;
    drop(first);
    let copy = read_anew(&snapshot);
    let (again, took) = compile(&copy, Some(&second));
    found.read_anew = took;
    drop((copy, again));
    let source = snapshot.config_maps.values_mut().flatten().next().map(Arc::make_mut);
    source.and_then(|data| data.values_mut().next()).expect("a file")[0] ^= 1;
    let (third, took) = compile(&snapshot, Some(&second));
    found.one_changed = took;
    drop(second);
    let (name, input) = snapshot
        .namespaces
        .iter()
        .next()
        .map(|(name, input)| (format!("{name}-2"), input.clone()))
        .expect("one");
    snapshot.namespaces.insert(name, input);
    found.namespace_added = compile(&snapshot, Some(&third)).1;
    println!("{}", serde_json::to_string(&found).expect("JSON"));
}

/// The same content, and no object of it shared.
fn read_anew(snapshot: &Snapshot) -> Snapshot {
    let mut copy = snapshot.clone();
    copy.profiles.iter_mut().for_each(|profile| profile.object = Arc::new((*profile.object).clone()));
    copy.namespaces.values_mut().for_each(|namespace| *namespace = Arc::new((**namespace).clone()));
    copy.config_maps.values_mut().flatten().for_each(|data| *data = Arc::new((**data).clone()));
    copy
}

/// Each profile has its files from a ConfigMap of its own, which travels in a Secret: too large for a pod.
fn inputs(namespaces: usize, profiles: usize, bytes: usize) -> Snapshot {
    let settings = Settings::default();
    let profile = |index: usize| -> Value {
        let mut profile = fixtures::profile(&format!("profile-{index}"), &fixtures::group(index), 0);
        let files =
            json!([{ "mountPath": "/opt/hadoop-conf", "configMap": { "name": format!("files-{index}") } }]);
        profile["spec"]["files"] = files;
        profile["spec"]["delivery"] = "Secret".into();
        profile
    };
    let mut snapshot =
        fixtures::snapshot((0..profiles).map(profile).collect(), fixtures::groups(namespaces, profiles));
    for index in 0..profiles {
        let files = (0..FILES).map(|file| {
            let content = fixtures::noise(bytes / FILES, index * FILES + file).into_bytes();
            (format!("file-{file}.properties"), content)
        });
        let key = ObjectKey { namespace: settings.namespace.clone(), name: format!("files-{index}") };
        snapshot.config_maps.insert(key, Ok(files.collect::<ObjectData>().into()));
    }
    snapshot
}
