//! From variables to content: the vectors of RFC 4648, what base64 and DEFLATE must not be, and that a file is
//! accepted only as declared.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use init_sync::decode::decoded_size;
use init_sync::{DecodeError, Decoder, Encoding, File};
use miniz_oxide::deflate::compress_to_vec;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

fn file(content: &[u8], encoding: Encoding) -> File {
    File {
        path: "a".to_owned(),
        mode: 0o444,
        size: content.len() as u64,
        digest: Sha256::digest(content).into(),
        encoding,
        variables: Vec::new(),
    }
}

fn decode(file: &File, values: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, DecodeError> {
    let mut content = vec![0; usize::try_from(file.size).unwrap_or_default()];
    Decoder::new().file(file, values, &mut content).map(|()| content)
}

#[test]
fn the_vectors_of_rfc_4648_decode() {
    for (value, content) in [
        ("", ""),
        ("Zg==", "f"),
        ("Zm8=", "fo"),
        ("Zm9v", "foo"),
        ("Zm9vYg==", "foob"),
        ("Zm9vYmFy", "foobar"),
    ] {
        let file = file(content.as_bytes(), Encoding::Plain);
        assert_eq!(decode(&file, &[value]).unwrap(), content.as_bytes());
    }
}

#[test]
fn only_canonical_padded_base64_is_base64() {
    let long = format!("{}\n", "Zm9v".repeat(100));
    for value in [
        "Zg",
        "Zg=",
        "Zg===",
        "Zm8",
        "Z",
        "=",
        "====",
        "Zm9v=",
        "Zm9vYg", // padding
        "Zh==",
        "Zm9=", // bits that the content does not have
        "Zm9v\n",
        " Zm9v",
        "Zm 9v",
        "Zm9v\r\n",
        &long, // white space
        "Zm9-",
        "Zm_v",
        "tcp://10.96.0.1:443",
        "Zm9v\0",
        "Zg==Zg==",
        "é",
    ] {
        for size in [0, 1, 2, 3, 4] {
            let mut file = file(b"", Encoding::Plain);
            file.size = size;
            assert_eq!(
                decode(&file, &[value]),
                Err(DecodeError::NotBase64 { variable: 0 }),
                "{value:?} as {size}"
            );
        }
    }
}

#[test]
fn each_chunk_is_base64_on_its_own() {
    let file = file(b"foobar", Encoding::Plain);
    assert!(decode(&file, &["Zm9v", "YmFy"]).is_ok());
    assert!(decode(&file, &["Zg==", "", "b29iYXI="]).is_ok());
    assert_eq!(decode(&file, &["Zm9vY", "mFy"]), Err(DecodeError::NotBase64 { variable: 0 }));
    assert_eq!(decode(&file, &["Zm9v", "YmF*"]), Err(DecodeError::NotBase64 { variable: 1 }));
}

#[test]
fn a_file_must_be_as_declared() {
    let declared = file(b"foo", Encoding::Plain);
    let size = |found| Err(DecodeError::Size { declared: 3, found: Some(found) });
    assert_eq!(decode(&declared, &["Zm8="]), size(2));
    assert_eq!(decode(&declared, &["Zm9v", "Zg=="]), size(4));
    assert_eq!(decode(&declared, &[] as &[&str]), size(0));
    assert_eq!(decode(&declared, &["Zm9w"]), Err(DecodeError::Digest));
}

#[test]
fn inflating_stops_at_the_declared_size() {
    let bomb = BASE64_STANDARD.encode(compress_to_vec(&vec![0; 64 * 1024 * 1024], 9));
    for declared in [0, 1, 1000] {
        let file = file(&vec![0; declared], Encoding::Deflate);
        let error = DecodeError::Size { declared: declared as u64, found: None };
        assert_eq!(decode(&file, &[&bomb]), Err(error));
    }
}

#[test]
fn only_one_whole_deflate_stream_is_one() {
    let content = b"content ".repeat(100);
    let file = file(&content, Encoding::Deflate);
    let stream = compress_to_vec(&content, 9);
    let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    assert_eq!(decode(&file, &[encode(&stream)]).unwrap(), content);
    let zlib = miniz_oxide::deflate::compress_to_vec_zlib(&content, 9);
    for bad in [&stream[..stream.len() - 1], &[&stream[..], b"x"].concat(), b"", b"\x07", &content, &zlib] {
        let error = decode(&file, &[encode(bad)]).unwrap_err();
        assert!(matches!(error, DecodeError::BadDeflate | DecodeError::Size { .. }), "{error}");
    }
    assert_eq!(decode(&file, &[encode(&stream[..9])]), Err(DecodeError::BadDeflate));
    let shorter = compress_to_vec(&content[1..], 9);
    let size = DecodeError::Size { declared: 800, found: Some(799) };
    assert_eq!(decode(&file, &[encode(&shorter)]), Err(size));
}

#[test]
fn an_empty_file_may_be_deflated() {
    let file = file(b"", Encoding::Deflate);
    assert_eq!(decode(&file, &[BASE64_STANDARD.encode(compress_to_vec(b"", 6))]).unwrap(), b"");
}

proptest! {
    #[test]
    fn any_content_in_any_chunks_comes_back(
        content in prop::collection::vec(any::<u8>(), 0..5000),
        chunk in 1_usize..2000,
        deflate in any::<bool>(),
    ) {
        let (encoding, bytes) =
            if deflate { (Encoding::Deflate, compress_to_vec(&content, 6)) } else { (Encoding::Plain, content.clone()) };
        let values: Vec<String> = bytes.chunks(chunk).map(|chunk| BASE64_STANDARD.encode(chunk)).collect();
        prop_assert_eq!(decode(&file(&content, encoding), &values), Ok(content));
    }

    #[test]
    fn no_value_breaks_the_decoder(
        value in prop_oneof!["[A-Za-z0-9+/]{0,60}={0,3}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..200)],
        size in 0..200_u64,
        deflate in any::<bool>(),
    ) {
        let mut file = file(b"", if deflate { Encoding::Deflate } else { Encoding::Plain });
        file.size = size;
        // The digest of nothing: nothing else is accepted.
        prop_assert!(size == 0 || decode(&file, &[value]).is_err());
    }

    #[test]
    fn strictness_is_that_of_the_reference_engine(value in "[A-D+/=]{0,70}") {
        let mut content = vec![0; decoded_size(value.as_bytes())];
        let found = Decoder::new().variable(value.as_bytes(), &mut content).is_ok().then_some(content);
        prop_assert_eq!(found, BASE64_STANDARD.decode(&value).ok());
    }
}
