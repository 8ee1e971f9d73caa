//! A webhook that does not answer: what a user reads, and that nothing slips through.

use acceptance::client::Namespace;
use serde_json::Value;

use crate::world::{Plan, World, driver, profile};

#[test]
fn without_the_webhook_a_spark_pod_is_refused_and_says_who_did_not_answer() {
    let mut world = World::start(Plan {
        name: "down",
        namespaces: vec![Namespace::new("down").opted_in(), Namespace::new("down-not")],
        documents: vec![profile("down", &Value::Object(serde_json::Map::new()))],
        // The API server keeps its connection: there is nobody whose requests the end would cut off.
        arguments: vec!["--drain-min", "0s", "--drain-quiet", "0s"],
        ..Plan::default()
    });
    world.api.create(&driver("down", "before")).expect(201);
    assert!(world.webhook.stop().success());

    let url = world.webhook.url();
    let reply = world.api.create(&driver("down", "after"));
    assert_eq!(reply.status, 500, "{}", reply.text);
    let begin = "Internal error occurred: failed calling webhook \"pods.spark-injector.io\": failed to call webhook: Post ";
    assert!(reply.message().starts_with(begin), "{}", reply.message());
    assert!(
        reply.message().contains(&url) && reply.message().ends_with("connect: connection refused"),
        "{}",
        reply.message()
    );
    assert_eq!(world.api.read(&driver("down", "after")).status, 404);
    world.api.create(&driver("down-not", "elsewhere")).expect(201);
}
