//! Files come out byte for byte as they were delivered, whatever is in them and however they were encoded.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use init_sync::Encoding;

use crate::harness::{Delivery, noise, run};

/// A keytab as MIT Kerberos writes it: version 5.2, big-endian, one AES-256 key.
fn keytab() -> Vec<u8> {
    let counted =
        |text: &str| [&(u16::try_from(text.len()).unwrap()).to_be_bytes(), text.as_bytes()].concat();
    let mut entry = Vec::new();
    entry.extend(2_u16.to_be_bytes());
    for part in ["EXAMPLE.ORG", "etl", "host.example.org"] {
        entry.extend(counted(part));
    }
    entry.extend(1_u32.to_be_bytes());
    entry.extend(1_700_000_000_u32.to_be_bytes());
    entry.push(3);
    entry.extend(18_u16.to_be_bytes());
    entry.extend(32_u16.to_be_bytes());
    entry.extend(noise(32));
    let size = u32::try_from(entry.len()).unwrap();
    [&[5, 2][..], &size.to_be_bytes(), &entry].concat()
}

fn everything() -> Delivery {
    let xml = "<property><name>fs.defaultFS</name><value>hdfs://ns</value></property>\n".repeat(2_000);
    let deflated = vec![("f9.0".to_owned(), 100), ("f9.1".to_owned(), 1), ("f9.2".to_owned(), usize::MAX)];
    let binary = noise(200_000);
    let chunks = (0..3).map(|chunk| (format!("f8.{chunk}"), 70_000)).collect();
    Delivery::default()
        .with_directory("0/kerberos")
        .with_empty_file("0/krb5.conf")
        .with("1/krb5.conf", 0o444, b"[libdefaults]\n default_realm = EXAMPLE.ORG\n")
        .with("2/etl.keytab", 0o440, &keytab())
        .with("2/empty", 0o444, b"")
        .with("2/0 starts with a digit.conf", 0o444, b"\xef\xbb\xbfmark\r\n\x00end")
        .with("2/\u{fc}ml\u{e4}ut/deep/er/..file", 0o644, b"\x00")
        .with_chunks("3/binary", 0o400, &binary, Encoding::Plain, chunks)
        .with_chunks("3/core-site.xml", 0o444, xml.as_bytes(), Encoding::Deflate, deflated)
}

#[test]
fn every_kind_of_file_is_restored_byte_for_byte() {
    let root = tempfile::tempdir().unwrap();
    let delivery = everything();
    let finished = delivery.run(root.path());
    finished.assert_done();
    delivery.assert_in(root.path());
    let bytes: usize =
        delivery.expected.values().filter_map(|(_, content)| content.as_ref()).map(Vec::len).sum();
    let start = format!("init-sync: 7 files, {bytes} bytes, manifest ");
    let fingerprint = finished.stdout.strip_prefix(&start).unwrap().strip_suffix('\n').unwrap();
    assert!(
        fingerprint.len() == 16 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{finished:?}"
    );
}

#[test]
fn a_megabyte_over_many_files_is_restored() {
    let root = tempfile::tempdir().unwrap();
    let content = noise(1024 * 1024);
    let delivery = content.chunks(4096).enumerate().fold(Delivery::default(), |delivery, (index, chunk)| {
        delivery.with(&format!("{}/file-{index}", index % 7), 0o444, chunk)
    });
    delivery.run(root.path()).assert_done();
    delivery.assert_in(root.path());
}

#[test]
fn three_runs_are_as_one() {
    let root = tempfile::tempdir().unwrap();
    let delivery = everything();
    let status = || -> Vec<_> {
        let status = |path| fs::metadata(root.path().join(path)).unwrap();
        let of = |path| (status(path).ino(), status(path).mtime_nsec(), status(path).ctime_nsec());
        delivery.expected.keys().map(of).collect()
    };
    let first = delivery.run(root.path());
    first.assert_done();
    let before = status();
    for _ in 0..2 {
        let again = delivery.run(root.path());
        again.assert_done();
        assert_eq!(again.stdout, first.stdout);
        assert_eq!(status(), before);
    }
}

#[test]
fn another_delivery_replaces_what_differs() {
    let root = tempfile::tempdir().unwrap();
    Delivery::default().with("same", 0o444, b"same").with("a", 0o444, b"old").run(root.path()).assert_done();
    let inode = fs::metadata(root.path().join("same")).unwrap().ino();
    let delivery = Delivery::default().with("same", 0o444, b"same").with("a", 0o400, b"new");
    delivery.run(root.path()).assert_done();
    delivery.assert_in(root.path());
    assert_eq!(fs::metadata(root.path().join("same")).unwrap().ino(), inode);
}

#[test]
fn the_manifests_own_directory_serves_without_to() {
    let root = tempfile::tempdir().unwrap();
    let delivery = Delivery::default().with("krb5.conf", 0o444, b"x");
    let mut environment = delivery.environment();
    let manifest = environment.get_mut("INIT_SYNC_MANIFEST").unwrap();
    *manifest = manifest.replace("/spark-injector", root.path().to_str().unwrap());
    run(&environment, &["--quiet"]).assert_done();
    delivery.assert_in(root.path());
}

#[test]
fn names_alone_make_files_of_their_names() {
    let root = tempfile::tempdir().unwrap();
    let delivery = Delivery::default().with("krb5.conf", 0o440, b"a").with("-x", 0o440, &keytab());
    let to = format!("--to={}", root.path().display());
    let finished = run(&delivery.variables, &[&to, "--mode", "0440", "krb5.conf", "--", "-x"]);
    finished.assert_done();
    delivery.assert_in(root.path());
    assert_eq!(finished.stdout, format!("init-sync: 2 files, {} bytes\n", keytab().len() + 1));

    let root = tempfile::tempdir().unwrap();
    let delivery = Delivery::default().with("krb5.conf", 0o444, b"a");
    run(&delivery.variables, &["--to", root.path().to_str().unwrap(), "krb5.conf"]).assert_done();
    delivery.assert_in(root.path());
}
