//! The manifest's text: what is read back as it was written, and what is refused, with which line and which code.

use init_sync::manifest::{Encoding, Entry, File, Manifest};
use init_sync::parse::{Field, Limit};
use init_sync::{Exit, MAX_DIRECTORIES, MAX_ENTRIES, MAX_FILES, ManifestError, PathError};
use proptest::prelude::*;

const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(lines: &str) -> Result<Manifest, ManifestError> {
    let line_end = if lines.is_empty() || lines.ends_with('\n') { "" } else { "\n" };
    format!("init-sync 1 /spark-injector\n{lines}{line_end}end\n").parse()
}

fn file(path: &str) -> String {
    format!("f 0444 0 {DIGEST} plain v {path}\n")
}

#[test]
fn the_documented_example_reads_as_it_says() {
    let text = format!(
        "init-sync 1 /spark-injector\nd 0/kerberos\ne 0/krb5.conf\nf 0444 512 {DIGEST} plain krb5.conf 1/krb5.conf\n\
         f 0440 90000 {DIGEST} deflate f2.0,f2.1 2/core site.xml\nend\n"
    );
    let manifest: Manifest = text.parse().unwrap();
    assert_eq!(manifest.directory, "/spark-injector");
    assert_eq!(manifest.entries[0], Entry::Directory { path: "0/kerberos".to_owned() });
    assert_eq!(manifest.entries[1], Entry::EmptyFile { path: "0/krb5.conf".to_owned() });
    let Entry::File(last) = &manifest.entries[3] else { panic!("{:?}", manifest.entries[3]) };
    assert_eq!(last.path, "2/core site.xml");
    assert_eq!((last.mode, last.size, last.encoding), (0o440, 90_000, Encoding::Deflate));
    assert_eq!(last.variables, ["f2.0", "f2.1"]);
    assert_eq!(last.digest[..4], [0xe3, 0xb0, 0xc4, 0x42]);
    assert_eq!(manifest.to_string(), text);
    assert_eq!(manifest.variable_bytes(), "INIT_SYNC_MANIFEST=".len() + text.len() + 1);
    assert_eq!(text.trim_end().parse(), Ok(manifest), "the last line end is optional");
    for length in "init-sync 1 /spark-injector".len()..text.trim_end().len() {
        let error = text[..length].parse::<Manifest>().unwrap_err();
        assert_eq!(error, ManifestError::Truncated, "cut at {length}");
        assert_eq!(error.exit(), Exit::MalformedManifest);
    }
}

#[test]
fn a_first_line_that_is_not_ours_is_refused() {
    for text in
        ["", "\n", "init-sync", "init-sync 1", "init-sync 1 ", "init-sync 1 relative", "init-sync  1 /a"]
    {
        let error = text.parse::<Manifest>().unwrap_err();
        assert_eq!(error.exit(), Exit::MalformedManifest, "{text:?}: {error}");
    }
    for text in ["init-sync +1 /a", "init-sync 01 /a", "Init-sync 1 /a", "tcp://10.0.0.1:80"] {
        assert_eq!(text.parse::<Manifest>(), Err(ManifestError::Header), "{text:?}");
    }
    for text in ["init-sync 1 /a/../b", "init-sync 1 /a\r"] {
        assert_eq!(text.parse::<Manifest>(), Err(ManifestError::TargetDirectory), "{text:?}");
    }
}

#[test]
fn another_version_is_told_from_a_broken_manifest() {
    for (text, found) in [("init-sync 2 /a\nq", 2), ("init-sync 0", 0), ("init-sync 12 anything", 12)] {
        let error = text.parse::<Manifest>().unwrap_err();
        assert_eq!(error, ManifestError::Protocol { found });
        assert_eq!(error.exit(), Exit::UnknownProtocol);
    }
}

#[test]
fn each_breach_names_its_line() {
    let field = |field| ManifestError::Field { line: 3, field };
    let path = |error| ManifestError::Path { line: 3, error };
    let f = |fields: &str| format!("f {fields} a");
    let cases = [
        (String::new(), ManifestError::Syntax { line: 3 }),
        ("d".to_owned(), ManifestError::Syntax { line: 3 }),
        ("x a".to_owned(), ManifestError::Syntax { line: 3 }),
        (format!("f 0444 0 {DIGEST} plain v"), ManifestError::Syntax { line: 3 }),
        ("d ".to_owned(), path(PathError::Empty)),
        ("d /a".to_owned(), path(PathError::Absolute)),
        ("e a/../b".to_owned(), path(PathError::Parent)),
        ("e ..data".to_owned(), path(PathError::LeadingDots)),
        ("e a\r".to_owned(), path(PathError::Control)),
        (f(&format!("444 0 {DIGEST} plain v")), field(Field::Mode)),
        (f(&format!("4755 0 {DIGEST} plain v")), field(Field::Mode)),
        (f(&format!("0448 0 {DIGEST} plain v")), field(Field::Mode)),
        (f(&format!("0444 +1 {DIGEST} plain v")), field(Field::Size)),
        (f(&format!("0444 01 {DIGEST} plain v")), field(Field::Size)),
        (f(&format!("0444 -1 {DIGEST} plain v")), field(Field::Size)),
        (f(&format!("0444  {DIGEST} plain v")), field(Field::Size)),
        (f("0444 0 abc plain v"), field(Field::Digest)),
        (f(&format!("0444 0 {} plain v", DIGEST.to_uppercase())), field(Field::Digest)),
        (f(&format!("0444 0 {DIGEST} gzip v")), field(Field::Encoding)),
        (f(&format!("0444 0 {DIGEST} plain ")), field(Field::Variables)),
        (f(&format!("0444 0 {DIGEST} plain v,,w")), field(Field::Variables)),
        (f(&format!("0444 0 {DIGEST} plain 1v")), field(Field::Variables)),
        ("d same".to_owned(), ManifestError::Duplicate { line: 3, other: 2 }),
        ("e ./same".to_owned(), ManifestError::Duplicate { line: 3, other: 2 }),
        (file("same//").trim_end().to_owned(), ManifestError::Duplicate { line: 3, other: 2 }),
    ];
    for (line, expected) in cases {
        let error = parse(&format!("d same\n{line}\nd after\n")).unwrap_err();
        assert_eq!(error, expected, "{line:?}: {error}");
        assert_eq!(error.exit(), Exit::MalformedManifest);
        assert!(error.to_string().starts_with("line 3: "), "{error}");
    }
}

#[test]
fn no_path_leads_through_a_file() {
    for (lines, line, other) in [
        ("e a\ne a/b\n", 3, 2),
        ("d a/b/c\ne a\n", 2, 3),
        ("e a-b\nd a/b/c\nd a.b\ne ./a\n", 3, 5),
        ("d a\ne a/b\nd a/b/c/d/e\n", 4, 3),
    ] {
        assert_eq!(parse(lines), Err(ManifestError::FileAsDirectory { line, other }), "{lines:?}");
    }
    parse("d a\nd a/b\ne a/b/c\ne a-b\ne a.b/c\ne ab\n").unwrap();
}

#[test]
fn limits_are_exact() {
    let files = |count: usize| (0..count).map(|index| file(&index.to_string())).collect::<String>();
    parse(&files(MAX_FILES)).unwrap();
    let over = |line, limit| Err(ManifestError::Limit { line, limit });
    assert_eq!(parse(&files(MAX_FILES + 1)), over(MAX_FILES + 2, Limit::Files));

    let lines = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let empty = |count| lines(count, &|index| format!("e {index}\n"));
    parse(&empty(MAX_ENTRIES)).unwrap();
    assert_eq!(parse(&empty(MAX_ENTRIES + 1)), over(MAX_ENTRIES + 2, Limit::Entries));

    // Two directories per line, one of them only implied.
    let nested = |count| lines(count, &|index| format!("d {index}/d\ne {index}/e\n"));
    parse(&nested(MAX_DIRECTORIES / 2)).unwrap();
    assert_eq!(parse(&nested(MAX_DIRECTORIES / 2 + 1)).unwrap_err().exit(), Exit::LimitExceeded);

    let sized = |size: u64| format!("f 0444 {size} {DIGEST} plain v a\nf 0444 1 {DIGEST} plain v b\n");
    parse(&sized(init_sync::MAX_TOTAL_BYTES - 1)).unwrap();
    assert_eq!(parse(&sized(init_sync::MAX_TOTAL_BYTES)), over(3, Limit::Bytes));
    assert_eq!(parse(&sized(u64::MAX)), over(2, Limit::Bytes));
    assert_eq!(parse(&sized(u64::MAX)).unwrap_err().exit(), Exit::LimitExceeded);
}

#[test]
fn an_error_quotes_nothing_of_the_text() {
    for text in
        ["c2VjcmV0", "init-sync 1 c2VjcmV0", "init-sync 1 /a\nc2VjcmV0", "init-sync 1 /a\nd ../c2VjcmV0"]
    {
        let error = text.parse::<Manifest>().unwrap_err();
        assert!(!error.to_string().contains("c2Vj"), "{error}");
    }
}

#[test]
fn a_manifest_that_was_built_is_checked_as_one_that_was_read() {
    let file = File {
        path: "a".to_owned(),
        mode: 0o4755,
        size: 0,
        digest: [0; 32],
        encoding: Encoding::Plain,
        variables: vec!["v".to_owned()],
    };
    let manifest = Manifest { directory: "/a".to_owned(), entries: vec![Entry::File(file)] };
    assert_eq!(manifest.validate(), Err(ManifestError::Field { line: 2, field: Field::Mode }));
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let variable = "[-_a-zA-Z][-._a-zA-Z0-9]{0,8}";
    let encoding = prop_oneof![Just(Encoding::Plain), Just(Encoding::Deflate)];
    let file =
        (0..0o1000_u32, 0..60_000_u64, any::<[u8; 32]>(), encoding, prop::collection::vec(variable, 1..4));
    let kind = prop_oneof![
        Just(None),
        file.prop_map(|(mode, size, digest, encoding, variables)| {
            Some(File { path: String::new(), mode, size, digest, encoding, variables })
        }),
    ];
    // The index keeps paths apart.
    let path = "[a-z ,.é]{0,6}(/[a-z ]{1,6}){0,2}";
    prop::collection::vec((path, kind, any::<bool>()), 0..20).prop_map(|list| {
        let named = list.into_iter().enumerate().map(|(index, (path, file, directory))| {
            let path = format!("{index}{path}");
            match file {
                Some(file) => Entry::File(File { path, ..file }),
                None if directory => Entry::Directory { path },
                None => Entry::EmptyFile { path },
            }
        });
        named.collect()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(entries in entries(), directory in "(/[a-z. ]{1,5}x){1,3}") {
        let manifest = Manifest { directory, entries };
        prop_assert_eq!(manifest.to_string().parse(), Ok(manifest));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(init-sync 1 /a\n)?([def] [ -~\n]{0,40}\n?){0,8}\\PC*") {
        if let Ok(manifest) = text.parse::<Manifest>() {
            prop_assert_eq!(manifest.to_string().parse(), Ok(manifest));
        }
    }
}
