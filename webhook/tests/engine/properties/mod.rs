//! What holds for every pod and every profile. `PROPTEST_CASES` sets how many are tried.

mod choices;
mod pods;
mod preserved;
mod profiles;
mod reviews;

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;
use spark_injector::admit::{Outcome, review};

use self::choices::{Choices, bytes};
use self::pods::{Told, pod};
use crate::support::answer::{Admitted, body};
use crate::support::cluster::{other_webhook, represent};
use crate::support::files::files;
use crate::support::{TEAM, admit, named};

/// So many cases that the whole file takes seconds; `PROPTEST_CASES` wins.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").is_err().then_some(512);
    let default = ProptestConfig::default();
    ProptestConfig { cases: cases.unwrap_or(default.cases), failure_persistence: None, ..default }
}

/// Nothing left to do, and no refusal.
fn is_settled(second: &Admitted) -> Result<(), TestCaseError> {
    prop_assert!(second.allowed, "the second call: {}", second.message);
    prop_assert!(second.patch.is_null(), "the second call: {:#}", second.patch);
    prop_assert_eq!(second.answer.record.outcome, Outcome::Unchanged);
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_patched_pod_has_nothing_left_to_do_and_has_lost_nothing(world in bytes(), sent in bytes()) {
        let catalog = profiles::any_world(&mut Choices::new(world)).catalog();
        let sent = pod(&mut Choices::new(sent), Told::Anyhow);
        // Applies the patch with another engine, and compares it with `judge`.
        let first = admit(&catalog, TEAM, &sent);
        if !first.allowed {
            prop_assert!(first.code == 403 || first.code == 422);
            prop_assert!(first.message.len() > 30, "a sentence: {}", first.message);
            return Ok(());
        }
        let lost = preserved::lost(&sent, &first.pod);
        prop_assert!(lost.is_empty(), "{lost:?}\n{:#}", first.patch);
        is_settled(&admit(&catalog, TEAM, &first.pod))?;
    }

    #[test]
    fn a_patched_pod_has_nothing_left_to_do_after_the_api_server_and_another_webhook(world in bytes(), sent in bytes()) {
        let catalog = profiles::any_world(&mut Choices::new(world)).catalog();
        let sent = represent(&pod(&mut Choices::new(sent), Told::Clearly));
        let first = admit(&catalog, TEAM, &sent);
        if !first.allowed {
            return Ok(());
        }
        let between = represent(&other_webhook(&first.pod));
        let second = admit(&catalog, TEAM, &between);
        is_settled(&second)?;
        // And the other way round: the other webhook was there first.
        let sent = represent(&other_webhook(&sent));
        let late = admit(&catalog, TEAM, &sent);
        prop_assert!(late.allowed, "{}", late.message);
        let lost = preserved::lost(&sent, &late.pod);
        prop_assert!(lost.is_empty(), "{lost:?}");
        is_settled(&admit(&catalog, TEAM, &represent(&late.pod)))?;
    }

    /// Replicas one step apart: the new one knows what the old one gives, the old one asks for patience.
    #[test]
    fn a_change_of_the_profile_refuses_no_pod_between_two_calls(old in bytes(), new in bytes(), sent in bytes()) {
        let world = profiles::any_world(&mut Choices::new(old));
        let old = world.catalog();
        let mut changed = profiles::any_world(&mut Choices::new(new));
        // Where a namespace belongs is not the profile's doing.
        changed.snapshot.namespaces.clone_from(&world.snapshot.namespaces);
        let new = changed.compile(Some(&old));
        let sent = represent(&pod(&mut Choices::new(sent), Told::Clearly));

        let first = admit(&old, TEAM, &sent);
        if first.allowed {
            let between = represent(&other_webhook(&first.pod));
            let second = admit(&new, TEAM, &between);
            prop_assert!(second.allowed, "{}", second.message);
            is_settled(&admit(&new, TEAM, &represent(&second.pod)))?;
        }
        let first = admit(&new, TEAM, &sent);
        if first.allowed && first.answer.record.outcome == Outcome::Injected {
            let between = represent(&other_webhook(&first.pod));
            let answer = review(&old, &body(TEAM, &between));
            if answer.status == 503 {
                prop_assert_eq!(answer.record.reason, "revision_unknown");
                return Ok(());
            }
            let mixed = admit(&old, TEAM, &between);
            prop_assert!(mixed.allowed, "{}", mixed.message);
            let init = named(&first.pod, "/spec/initContainers", "spark-injector-init");
            prop_assert!(init.is_null() || mixed.pod["spec"] == between["spec"], "{:#}", mixed.patch);
        }
    }

    #[test]
    fn the_init_container_restores_what_the_mounts_promise(world in bytes(), sent in bytes()) {
        let catalog = profiles::any_world(&mut Choices::new(world)).catalog();
        let first = admit(&catalog, TEAM, &pod(&mut Choices::new(sent), Told::Clearly));
        if !first.allowed {
            return Ok(());
        }
        let init = named(&first.pod, "/spec/initContainers", "spark-injector-init");
        if !init.is_null() {
            // Panics where a variable, a digest or a key of a Secret is missing.
            files(&first.pod, &catalog.secrets(Some(TEAM)));
        }
        let executor = first.pod["metadata"]["labels"]["spark-role"] == "executor";
        let keytab = first.pod.to_string().contains("\"mountPath\":\"/keytab\"");
        prop_assert!(!(executor && keytab), "drivers only");
    }

    #[test]
    fn audit_never_changes_or_refuses_anything(world in bytes(), sent in bytes()) {
        let mut world = profiles::any_world(&mut Choices::new(world));
        Arc::make_mut(&mut world.snapshot.profiles[0].object)["spec"]["mode"] = Value::from("Audit");
        let admitted = admit(&world.catalog(), TEAM, &pod(&mut Choices::new(sent), Told::Anyhow));
        prop_assert!(admitted.allowed && admitted.patch.is_null());
    }
}
