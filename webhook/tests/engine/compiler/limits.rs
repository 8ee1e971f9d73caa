//! Limits, each with a message that names the limit and the largest files.

use std::fmt::Write as _;

use super::payload::noise;
use super::says;
use crate::support::{driver, inject, world};

#[test]
fn too_much_for_the_environment_names_the_largest_files() {
    let (large, middle) = (noise(150_000), noise(60_000));
    let world = world()
        .config_map("c", &[("large", &large), ("middle", &middle), ("small", b"1"), ("tiny", b"")])
        .spec("{delivery: Env, files: [{mountPath: /x, roles: [driver], configMap: {name: c}}]}");
    let problem = world.problem();
    says(
        &problem,
        &["spec.files", "in the environment of drivers", "262144", "/x/large (200000), /x/middle (80000)"],
    );
}

#[test]
fn each_role_has_an_environment_of_its_own() {
    let data = noise(150_000);
    let world = world().config_map("c", &[("large", &data)]).spec(
        "{delivery: Env, files: [{mountPath: /x, roles: [driver], configMap: {name: c}}, {mountPath: /y, roles: [executor], configMap: {name: c}}]}",
    );
    inject(&world.catalog(), &driver());
}

#[test]
fn too_much_for_a_secret_names_the_largest_files() {
    let (large, two) = (noise(700_000), noise(60_000));
    let files = "files: [{mountPath: /x, configMap: {name: c}}]";
    let problem = world().config_map("c", &[("large", &large), ("two", &two)]).spec(files).problem();
    says(&problem, &["spec.files", "in one Secret", "1000000", "/x/large"]);
    let fits = noise(749_000);
    world().config_map("c", &[("large", &fits)]).spec(files).catalog();
}

#[test]
fn what_compresses_well_is_still_bounded() {
    let zeros = vec![0; 8 * 1024 * 1024 + 1];
    let problem = world()
        .config_map("c", &[("zeros", &zeros)])
        .spec("files: [{mountPath: /x, configMap: {name: c}}]")
        .problem();
    says(&problem, &["8388609 bytes", "8388608", "/x/zeros"]);
}

#[test]
fn too_many_files_are_a_mistake() {
    let mut inline = String::new();
    for index in 0..129 {
        let _ = write!(inline, "a{index}: b{index}, ");
    }
    let files = ["/x", "/y"].map(|path| format!("{{mountPath: {path}, inline: {{{inline}}}}}")).join(", ");
    says(&world().spec(&format!("files: [{files}]")).problem(), &["spec.files", "258 files", "256"]);
}

#[test]
fn the_bounds_of_the_custom_resource_hold_without_an_api_server() {
    let entries: Vec<String> =
        (0..65).map(|index| format!("{{mountPath: /x{index}, inline: {{a: b}}}}")).collect();
    says(
        &world().spec(&format!("files: [{}]", entries.join(", "))).problem(),
        &["spec.files: 65 entries, at most 64 are possible"],
    );
    says(
        &world().spec("files: [{mountPath: /x, configMap: {name: ''}}]").problem(),
        &["spec.files[0].configMap.name: empty"],
    );
    says(
        &world().spec(&format!("executorRole: {{name: A, value: {}}}", "x".repeat(4097))).problem(),
        &["spec.executorRole.value: 4097 characters, at most 4096"],
    );
}

/// The kernel takes 128 KiB for a variable: with more the init container of every pod would not start.
#[test]
fn a_manifest_that_the_kernel_would_refuse_is_a_mistake() {
    let spec = |length: usize| {
        let names = (0..256).map(|index| format!("{}{index}: b, ", "n".repeat(length)));
        format!("{{delivery: Secret, files: [{{mountPath: /x, inline: {{{}}}}}]}}", names.collect::<String>())
    };
    let pod = inject(&world().spec(&spec(200)).catalog(), &driver());
    let bytes = crate::support::files::manifest(&pod).variable_bytes();
    assert!((120_000..=init_sync::MAX_VARIABLE_BYTES).contains(&bytes), "{bytes}");
    says(
        &world().spec(&spec(240)).problem(),
        &["spec.files", "the list of the files of drivers", "with more than 131072", "shorten"],
    );
}
