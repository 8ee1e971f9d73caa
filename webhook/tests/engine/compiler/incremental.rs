//! What did not change is not compiled again, and nobody can tell from the answers.

use std::sync::Arc;

use serde_json::{Value, json};
use spark_injector::admit::judge;
use spark_injector::catalog::{Catalog, CompiledProfile, Snapshot};

use crate::support::{World, driver, executor, world};

const ON: [(&str, &str); 1] = [("spark-injector.io/inject", "enabled")];
const ONE: &str =
    "{namespaces: {names: [team-a]}, extends: [base], files: [{mountPath: /x, configMap: {name: one}}]}";
const TWO: &str =
    "{namespaces: {selector: {matchLabels: {team: b}}}, files: [{mountPath: /x, secret: {name: two}}]}";

fn start() -> World {
    let labels = [ON[0], ("team", "b")];
    world()
        .namespace("team-b", &labels, &[])
        .config_map("one", &[("a", b"1")])
        .secret("two", &[("b", b"2")])
        .directory("three", &[("c", b"3")])
        .profile("base", "files: [{mountPath: /y, directory: {path: three}}]")
        .profile("one", ONE)
        .profile("two", TWO)
}

/// The same content in other objects: what a source makes that reads everything anew.
fn read_anew(snapshot: &Snapshot) -> Snapshot {
    let mut copy = snapshot.clone();
    copy.profiles.iter_mut().for_each(|profile| profile.object = Arc::new(Value::clone(&profile.object)));
    copy.namespaces.values_mut().for_each(|input| *input = Arc::new((**input).clone()));
    let objects = copy.config_maps.values_mut().chain(copy.secrets.values_mut());
    objects
        .chain(copy.directories.values_mut())
        .flatten()
        .for_each(|data| *data = Arc::new((**data).clone()));
    copy
}

fn find<'c>(catalog: &'c Catalog, name: &str) -> &'c CompiledProfile {
    catalog.profiles().into_iter().find(|profile| profile.name == name).unwrap()
}

/// Names of the profiles that were compiled again.
fn compiled_anew(before: &Catalog, after: &Catalog) -> Vec<&'static str> {
    let names = ["base", "one", "two"].into_iter();
    names.filter(|name| !std::ptr::eq(find(before, name), find(after, name))).collect()
}

#[test]
fn a_profile_is_compiled_again_where_something_of_its_own_changed() {
    let first = start().catalog();
    let after = |world: World| compiled_anew(&first, &world.compile(Some(&first)));
    assert!(after(start()).is_empty());
    assert_eq!(after(start().config_map("one", &[("a", b"2")])), ["one"]);
    assert_eq!(after(start().secret("two", &[("b", b"3")])), ["two"]);
    assert_eq!(after(start().directory("three", &[("c", b"4")])), ["base", "one"]);
    assert_eq!(after(start().secret("unused", &[("b", b"3")])), [""; 0]);
    assert_eq!(after(start().namespace("team-c", &ON, &[])), [""; 0]);
    assert_eq!(
        after(start().settings(|settings| settings.init_cpu = "1".to_owned())),
        ["base", "one", "two"]
    );

    let mut changed = start();
    Arc::make_mut(&mut changed.snapshot.profiles[0].object)["spec"]["mode"] = "Audit".into();
    assert_eq!(after(changed), ["base", "one"]);
}

#[test]
fn the_same_content_in_another_object_is_the_same() {
    let world = start();
    let first = world.catalog();
    let mut again = World { snapshot: read_anew(&world.snapshot), ..world.clone() };
    let second = again.compile(Some(&first));
    assert!(compiled_anew(&first, &second).is_empty());
    // And what is compared with next time is the new object.
    again.snapshot = read_anew(&again.snapshot);
    assert!(compiled_anew(&second, &again.compile(Some(&second))).is_empty());
}

#[test]
fn a_write_of_a_status_changes_nothing() {
    let first = start().catalog();
    let mut world = start();
    for profile in &mut world.snapshot.profiles {
        let object = Arc::make_mut(&mut profile.object);
        object["metadata"]["resourceVersion"] = "7".into();
        object["metadata"]["managedFields"] = json!([{ "manager": "spark-injector" }]);
        object["status"] = json!({ "revision": "1" });
    }
    assert!(compiled_anew(&first, &world.compile(Some(&first))).is_empty());
}

#[test]
fn plans_that_come_out_the_same_are_the_same() {
    let spec = "files: [{mountPath: /x, configMap: {name: c, items: [{key: a}]}}]";
    let of = |beat: &[u8]| world().config_map("c", &[("a", b"1"), ("heartbeat", beat)]).spec(spec);
    let first = of(b"1").catalog();
    let second = of(b"2").compile(Some(&first));
    assert!(std::ptr::eq(first.profiles()[0], second.profiles()[0]));
}

/// Everything that anybody can see of a catalog.
fn seen(catalog: &Catalog) -> Value {
    let namespaces = ["team-a", "team-b", "team-c", "team-d"];
    let pods = namespaces.map(|namespace| {
        let patches = [driver(), executor()].map(|pod| {
            let verdict = judge(catalog, namespace, &pod);
            json!([verdict.record.outcome.as_str(), verdict.record.message, verdict.warnings, verdict.patch])
        });
        json!([namespace, catalog.profile_of(namespace), patches])
    });
    let problems: Vec<String> = catalog.problems().iter().map(ToString::to_string).collect();
    let warnings: Vec<String> = catalog.warnings().iter().map(ToString::to_string).collect();
    json!([pods, problems, warnings, catalog.secrets(None)])
}

#[test]
fn a_catalog_that_grew_answers_as_one_that_was_compiled_at_once() {
    type Step = fn(World) -> World;
    let steps: [(&str, Step); 12] = [
        ("a namespace comes", |world| world.namespace("team-c", &[ON[0], ("team", "b")], &[])),
        ("a namespace changes its labels", |world| world.namespace("team-c", &ON, &[])),
        ("a default appears", |world| world.profile("three", "namespaces: {selector: {}}")),
        ("a conflict appears", |world| world.profile("four", "namespaces: {selector: {}}")),
        ("another namespace is in conflict", |world| world.namespace("team-d", &ON, &[])),
        ("a namespace goes", |mut world| {
            world.snapshot.namespaces.remove("team-c");
            world
        }),
        ("the conflict goes", |mut world| {
            world.snapshot.profiles.pop();
            world
        }),
        ("a source changes", |world| world.secret("two", &[("b", b"7")])),
        ("an annotation is wrong", |world| {
            let annotation = [("scheduler.alpha.kubernetes.io/node-selector", "a==b")];
            world.namespace("team-b", &[ON[0], ("team", "b")], &annotation)
        }),
        ("the annotation is mended", |world| {
            let annotation = [("scheduler.alpha.kubernetes.io/node-selector", "pool=b")];
            world.namespace("team-b", &[ON[0], ("team", "b")], &annotation)
        }),
        ("the base changes", |mut world| {
            let spec = json!({ "nodeSelector": { "default": { "pool": "a" } } });
            Arc::make_mut(&mut world.snapshot.profiles[0].object)["spec"] = spec;
            world
        }),
        ("a profile goes", |mut world| {
            world.snapshot.profiles.remove(2);
            world
        }),
    ];
    let mut world = start();
    let mut catalog = world.catalog();
    for (what, step) in steps {
        world = step(world);
        catalog = world.compile(Some(&catalog));
        assert_eq!(seen(&catalog), seen(&world.compile(None)), "{what}");
    }
}
