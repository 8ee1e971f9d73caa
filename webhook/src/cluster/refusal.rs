//! What the API server's refusals may be trusted with. A message may quote the object, and policies of others may write
//! what they like; where the object holds what nobody may read, only this much of it is passed on.

use super::describe;

/// As [`describe`], for a request whose object holds secrets: who refuses, or code and reason, and in full only what RBAC
/// says, which speaks of the resource.
pub fn without_object(error: &kube::Error) -> String {
    let kube::Error::Api(status) = error else { return describe(error) };
    match denier(&status.message) {
        Some(who) => format!("{who} refuses it"),
        None if status.code == 403 && is_of_rbac(&status.message) => status.message.clone(),
        None => format!("the API server answers {}{}", status.code, word(&status.reason)),
    }
}

/// Whether these are RBAC's words: what follows the name of the object is about who asks.
fn is_of_rbac(message: &str) -> bool {
    let sentence = message.split_once(" is forbidden: ").map(|(_, sentence)| sentence);
    sentence.is_some_and(|sentence| sentence.starts_with("User \"") && sentence.contains(" cannot "))
}

/// The policy or webhook that the API server names before it quotes what they say.
pub(crate) fn denier(message: &str) -> Option<String> {
    let of_policy = message.split_once(" is forbidden: ").map(|(_, sentence)| sentence);
    let policy = of_policy.and_then(|sentence| sentence.strip_prefix("ValidatingAdmissionPolicy '"));
    let policy =
        policy.and_then(|rest| rest.split_once('\'')).map(|(name, _)| ("ValidatingAdmissionPolicy", name));
    let webhook = message.strip_prefix("admission webhook \"");
    let webhook = webhook.and_then(|rest| rest.split_once('"')).map(|(name, _)| ("admission webhook", name));
    let (kind, name) = policy.or(webhook)?;
    let is_name = name.len() <= 253 && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
    is_name.then(|| format!("the {kind} {name}"))
}

/// A reason, if it is the one word that it should be.
pub(crate) fn word(reason: &str) -> String {
    let is_word = !reason.is_empty() && reason.len() <= 40 && reason.chars().all(|c| c.is_ascii_alphabetic());
    if is_word { format!(" ({reason})") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn said(code: u16, reason: &str, message: &str) -> String {
        let status = Status::failure(message, reason).with_code(code);
        without_object(&kube::Error::Api(status.boxed()))
    }

    #[test]
    fn nobody_is_quoted_but_rbac() {
        let rbac = r#"secrets "s" is forbidden: User "u" cannot update resource "secrets" in API group "" in the namespace "n""#;
        assert_eq!(said(403, "Forbidden", rbac), rbac);
        let policy = r#"secrets "s" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: CANARY"#;
        for code in [403, 422] {
            assert_eq!(said(code, "Forbidden", policy), "the ValidatingAdmissionPolicy p refuses it");
        }
        let webhook = r#"admission webhook "w" denied the request: User "CANARY" cannot see"#;
        assert_eq!(said(403, "CANARY 1", webhook), "the admission webhook w refuses it");
        let plugin = r#"secrets "s" is forbidden: CANARY cannot be"#;
        assert_eq!(said(403, "Forbidden", plugin), "the API server answers 403 (Forbidden)");
        assert_eq!(said(422, "CANARY 1", "CANARY"), "the API server answers 422");
    }
}
