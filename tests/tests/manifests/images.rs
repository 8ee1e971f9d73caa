//! That the archives are images as the Dockerfile says, and the same for the same programs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use acceptance::places;
use acceptance::process::{self, Finished};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The head of a 64-bit Linux program for amd64 with this one program header.
fn program(header: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 64 + 56];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18] = 62;
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = 1;
    bytes[64..68].copy_from_slice(&header.to_le_bytes());
    bytes.extend(body);
    bytes
}

fn build(programs: &Path, out: &Path) -> Finished {
    let mut command = Command::new(places::repository().join("manifests/images.py"));
    command.arg("--bin").arg(programs).arg("--out").arg(out);
    process::run(command, b"", Duration::from_secs(60))
}

fn unpack(archive: &Path, into: &Path) {
    let mut command = Command::new("tar");
    command.arg("-xf").arg(archive).arg("-C").arg(into);
    let finished = process::run(command, b"", Duration::from_secs(60));
    assert_eq!(finished.status, 0, "{}", finished.stderr);
}

/// The content of a blob that its digest and size fit.
fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().expect("a digest").strip_prefix("sha256:").expect("SHA-256");
    let bytes = std::fs::read(layout.join("blobs/sha256").join(digest)).expect("a blob");
    let hex = Sha256::digest(&bytes).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    assert_eq!((hex.as_str(), Some(bytes.len() as u64)), (digest, descriptor["size"].as_u64()));
    bytes
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

#[test]
fn each_image_is_one_program_for_a_user_without_rights() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for name in ["first", "second", "programs"] {
        std::fs::create_dir(at(name)).expect("a folder");
    }
    for name in ["spark-injector", "init-sync"] {
        std::fs::write(at("programs").join(name), program(1, name.as_bytes())).expect("a file");
    }
    let finished = build(&at("programs"), &at("first"));
    assert_eq!(finished.status, 0, "{}", finished.stderr);
    assert_eq!(build(&at("programs"), &at("second")).status, 0);

    let version = env!("CARGO_PKG_VERSION");
    for name in ["spark-injector", "init-sync"] {
        let archive = format!("{name}-{version}.tar");
        let [bytes, again] =
            ["first", "second"].map(|out| std::fs::read(at(out).join(&archive)).expect("an archive"));
        assert!(bytes == again, "{name} is not the same twice");

        let layout = at(name);
        std::fs::create_dir(&layout).expect("a folder");
        unpack(&at("first").join(&archive), &layout);
        assert_eq!(
            parsed(&std::fs::read(layout.join("oci-layout")).expect("a file"))["imageLayoutVersion"],
            "1.0.0"
        );
        let index = parsed(&std::fs::read(layout.join("index.json")).expect("a file"));
        let top = &index["manifests"][0];
        let reference = format!("docker.io/spark-injector/{name}:{version}");
        assert_eq!(top["annotations"]["io.containerd.image.name"], *reference);
        let digest = top["digest"].as_str().expect("a digest");
        assert!(finished.stdout.contains(&format!("{reference}@{digest}")), "{}", finished.stdout);

        let manifest = parsed(&blob(&layout, top));
        let image = parsed(&blob(&layout, &manifest["config"]));
        assert_eq!((&image["architecture"], &image["os"]), (&json!("amd64"), &json!("linux")));
        let config = &image["config"];
        assert_eq!(config["User"], "65532:65532");
        assert_eq!(config["Entrypoint"], json!([format!("/{name}")]));
        assert_eq!(config["Labels"]["org.opencontainers.image.version"], version);
        assert_eq!(config["Labels"]["org.opencontainers.image.title"], name);

        let layers = manifest["layers"].as_array().expect("layers");
        assert_eq!(layers.len(), 1);
        assert_eq!(image["rootfs"]["diff_ids"], json!([layers[0]["digest"]]));
        let root = layout.join("root");
        std::fs::create_dir(&root).expect("a folder");
        let layer = layout.join("layer.tar");
        std::fs::write(&layer, blob(&layout, &layers[0])).expect("a file");
        unpack(&layer, &root);
        let files: Vec<_> = std::fs::read_dir(&root)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert_eq!(files, [name]);
        assert_eq!(std::fs::read(root.join(name)).expect("the program"), program(1, name.as_bytes()));
    }
}

#[test]
fn a_program_that_needs_a_loader_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["spark-injector", "init-sync"] {
        std::fs::write(folder.path().join(name), program(3, b"")).expect("a file");
    }
    let finished = build(folder.path(), folder.path());
    assert_eq!(finished.status, 1);
    assert!(
        finished.stderr.contains("is not static") && finished.stderr.contains("make build"),
        "{}",
        finished.stderr
    );
}
