//! What `validate` says about a folder.

use std::fs;

use super::folder::{Folder, NAMESPACE, POD, PROFILE};

#[test]
fn a_valid_folder_is_summed_up() {
    let ran = Folder::new().run("validate --from p", "");
    assert_eq!(ran.code, 0);
    assert!(
        ran.stderr.starts_with("warning: --init-image: ") && ran.stderr.contains("digest"),
        "{}",
        ran.stderr
    );
    let ran = Folder::new().run("validate --from p --init-image i@sha256:00", "");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.contains("1 profile, 1 namespace (1 opted in), 2 files"), "{}", ran.stdout);
    assert!(ran.stdout.contains("team-a: team-a"), "{}", ran.stdout);
}

/// What a server would refuse is not valid here, unless somebody says that this server would not.
#[test]
fn secrets_in_the_environment_need_callers_that_prove_who_they_are() {
    let folder = Folder::new();
    let more = "\nspec:\n  delivery: Env\n  files: [{mountPath: /k, secret: {name: k}, roles: [executor]}]";
    folder.write("p/profile.yaml", &PROFILE.replace("\nspec:", more));
    folder.write("p/secret.yaml", "{apiVersion: v1, kind: Secret, metadata: {name: k}, data: {a: Yg==}}");
    for line in ["validate --from p", "inject --from p --namespace team-a"] {
        let ran = folder.run(line, POD);
        let said = "ClientAuthRequired: Env would hand files of a Secret to any caller of the webhook; write Secret, or";
        assert!(ran.code != 0 && ran.stderr.contains(said), "{line}: {} {}", ran.code, ran.stderr);
        assert!(ran.stderr.contains("offline --client-authentication"), "{line}: {}", ran.stderr);
        let ran = folder.run(&format!("{line} --client-authentication"), POD);
        assert_eq!(ran.code, 0, "{line}: {}", ran.stderr);
    }
    let ran = folder.run("explain --from p --namespace team-a", POD);
    assert!(ran.stdout.contains("mistake: ") && ran.stdout.contains("ClientAuthRequired"), "{}", ran.stdout);
    let ran = folder.run("explain --from p --namespace team-a --client-authentication", POD);
    assert!(ran.stdout.contains("injected") && !ran.stdout.contains("ClientAuthRequired"), "{}", ran.stdout);
}

#[test]
fn a_folder_without_profiles_is_no_quiet_success() {
    let folder = Folder::new();
    fs::create_dir(folder.path("empty")).unwrap();
    let ran = folder.run("validate --from empty", "");
    assert!(ran.code == 0 && ran.stderr.contains("there is no SparkProfile in --from"), "{}", ran.stderr);
}

#[test]
fn files_that_cannot_be_parsed_are_all_named() {
    let folder = Folder::new();
    folder.write("p/a.yaml", "a: 1\nb: [\n");
    folder.write("p/b.yaml", "a: 1\na: 2\n");
    let said = folder.invalid("p/c.json", "{\"a\": ");
    assert!(said.contains("p/a.yaml: ") && said.contains("p/c.json: "), "{said}");
    assert!(said.contains("p/b.yaml: ") && said.contains("duplicate") && said.contains("line 2"), "{said}");
}

#[test]
fn objects_that_are_defined_twice_name_both_places() {
    let said = Folder::new().invalid("p/z.yaml", NAMESPACE);
    assert!(
        said.contains("p/namespace.yaml") && said.contains("p/z.yaml: Namespace team-a: defined twice"),
        "{said}"
    );
    assert!(said.ends_with("1 problem\n"), "{said}");
}

#[test]
fn a_directory_stays_inside_the_files_root() {
    let folder = Folder::new();
    let profile =
        PROFILE.replace("\nspec:", "\nspec:\n  files: [{mountPath: /conf, directory: {path: PATH}}]");
    let said = folder.invalid("p/profile.yaml", &profile.replace("PATH", "hadoop"));
    assert!(said.contains("--files-root"), "{said}");
    folder.write("root/hadoop/core-site.xml", "<x/>");
    folder.write("outside", "s3cr3t");
    assert_eq!(folder.run("validate --from p --files-root root", "").code, 0);
    folder.write("p/profile.yaml", &profile.replace("PATH", "../.."));
    let ran = folder.run("validate --from p --files-root root", "");
    assert!(ran.code == 2 && ran.stderr.contains("`../..`"), "{}", ran.stderr);
    folder.write("p/profile.yaml", &profile.replace("PATH", "hadoop"));
    std::os::unix::fs::symlink("../../outside", folder.path("root/hadoop/link")).unwrap();
    let ran = folder.run("validate --from p --files-root root", "");
    assert!(ran.code == 2 && ran.stderr.contains("hadoop/link"), "{}", ran.stderr);
}

#[test]
fn kinds_that_are_not_ours_are_warned_about() {
    let folder = Folder::new();
    folder.write("p/service.yaml", "{apiVersion: v1, kind: Service, metadata: {name: s}}");
    let ran = folder.run("validate --from p", "");
    assert!(ran.code == 0 && ran.stderr.contains("p/service.yaml: Service s: ignored"), "{}", ran.stderr);
}
