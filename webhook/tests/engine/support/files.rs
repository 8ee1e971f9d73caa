//! What the init container of a pod would write, with the contract's own parser and decoder.

use std::collections::BTreeMap;

use init_sync::{Decoder, Entry, MANIFEST_VARIABLE, Manifest};
use serde_json::Value;

use super::named;

/// Paths that the Spark container would see, each with mode and content; mount points that are empty files too.
pub(crate) type Tree = BTreeMap<String, (u32, Vec<u8>)>;

/// The environment of the init container, with references to Secrets resolved as the kubelet would.
fn environment(pod: &Value, secrets: &[Value]) -> BTreeMap<String, String> {
    let init = named(pod, "/spec/initContainers", "spark-injector-init");
    let mut environment = BTreeMap::new();
    for variable in init["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        let value = match variable.pointer("/valueFrom/secretKeyRef") {
            Some(reference) => {
                let secret = secrets.iter().find(|secret| secret["metadata"]["name"] == reference["name"]);
                let data = secret.expect("the Secret is rendered")["data"]
                    [reference["key"].as_str().unwrap()]
                .as_str()
                .expect("the key is in the Secret");
                String::from_utf8(decode64(data)).unwrap()
            }
            None => variable["value"].as_str().unwrap_or_default().replace("$$", "$"),
        };
        assert!(environment.insert(name.to_owned(), value).is_none(), "{name} stands there twice");
    }
    environment
}

fn decode64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// The manifest of a pod.
pub(crate) fn manifest(pod: &Value) -> Manifest {
    let init = named(pod, "/spec/initContainers", "spark-injector-init");
    let text = named(init, "/env", MANIFEST_VARIABLE)["value"].as_str().unwrap().replace("$$", "$");
    text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The files in the Spark container of a pod: decoded, and laid out by its mounts.
pub(crate) fn files(pod: &Value, secrets: &[Value]) -> Tree {
    let environment = environment(pod, secrets);
    let mut volume = Tree::new();
    for entry in &manifest(pod).entries {
        match entry {
            Entry::File(file) => {
                let values: Vec<&str> =
                    file.variables.iter().map(|name| environment[name].as_str()).collect();
                let mut content = vec![0; usize::try_from(file.size).unwrap()];
                Decoder::new().file(file, &values, &mut content).unwrap();
                volume.insert(file.path.clone(), (file.mode, content));
            }
            Entry::EmptyFile { path } => drop(volume.insert(path.clone(), (0o444, Vec::new()))),
            Entry::Directory { .. } => {}
        }
    }
    let mut tree = Tree::new();
    let containers = pod["spec"]["containers"].as_array().unwrap();
    for mount in containers.iter().filter_map(|container| container["volumeMounts"].as_array()).flatten() {
        if mount["name"] != "spark-injector-files" {
            continue;
        }
        let (path, part) = (mount["mountPath"].as_str().unwrap(), mount["subPath"].as_str().unwrap());
        assert_eq!(mount["readOnly"], true);
        for (file, content) in &volume {
            if file == part {
                tree.insert(path.to_owned(), content.clone());
            } else if let Some(rest) = file.strip_prefix(part).filter(|rest| rest.starts_with('/')) {
                tree.insert(format!("{path}{rest}"), content.clone());
            }
        }
    }
    tree
}
