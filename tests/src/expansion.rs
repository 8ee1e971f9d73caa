//! `$(NAME)` and `$$` in values of environment variables, exactly as Kubernetes expands them
//! (`third_party/forked/golang/expansion`): one pass, unknown names stay as they stand, `$$` is one `$`.

/// Replaces the references in `input`; `lookup` knows the variables defined so far.
///
/// ```
/// let known = |name: &str| (name == "A").then(|| "1".to_owned());
/// let expand = |input| acceptance::expansion::expand(input, known);
/// assert_eq!(expand("$(A)-$(B)-$$(A)-$A-$(A"), "1-$(B)-$(A)-$A-$(A");
/// ```
pub fn expand(input: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut output = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        output.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        // What follows the operator decides; each arm says how much of it is used up.
        let used = match after.chars().next() {
            None => {
                output.push('$');
                0
            }
            Some('$') => {
                output.push('$');
                1
            }
            Some('(') => {
                if let Some(end) = after.find(')') {
                    let name = &after[1..end];
                    output.push_str(&lookup(name).unwrap_or_else(|| format!("$({name})")));
                    end + 1
                } else {
                    output.push_str("$(");
                    1
                }
            }
            Some(other) => {
                output.push('$');
                output.push(other);
                other.len_utf8()
            }
        };
        rest = &after[used..];
    }
    output.push_str(rest);
    output
}

#[cfg(test)]
mod tests {
    use super::expand;

    /// The table of the upstream test, with its variables.
    #[test]
    fn expands_as_upstream_does() {
        let known = |name: &str| match name {
            "VAR_A" => Some("A".to_owned()),
            "VAR_B" => Some("B".to_owned()),
            "VAR_C" => Some("C".to_owned()),
            "VAR_REF" => Some("$(VAR_A)".to_owned()),
            "VAR_EMPTY" => Some(String::new()),
            _ => None,
        };
        let cases = [
            ("$(VAR_A)", "A"),
            ("___$(VAR_B)___", "___B___"),
            ("$(VAR_A)$(VAR_A)$(VAR_B)", "AAB"),
            ("$(VAR_REF)-1", "$(VAR_A)-1"),
            ("%%$(VAR_REF)--$(VAR_REF)%%", "%%$(VAR_A)--$(VAR_A)%%"),
            ("foo$(VAR_EMPTY)bar", "foobar"),
            ("foo$$(VAR_A)bar", "foo$(VAR_A)bar"),
            ("foo$$$$$$(VAR_A)bar", "foo$$$(VAR_A)bar"),
            ("$$$(VAR_A)", "$A"),
            ("$VAR_A", "$VAR_A"),
            ("${VAR_A}", "${VAR_A}"),
            ("$(VAR_DNE)", "$(VAR_DNE)"),
            ("$$$$$$$(BIG_MONEY)", "$$$$(BIG_MONEY)"),
            ("$?_boo_$!", "$?_boo_$!"),
            ("f000-$VAR_A", "f000-$VAR_A"),
            ("foo\\\\$(VAR_C)bar", "foo\\\\Cbar"),
            ("$(VAR_A", "$(VAR_A"),
            ("$(VAR_A$(VAR_B)", "$(VAR_A$(VAR_B)"),
            ("$()", "$()"),
            ("trailing$", "trailing$"),
            ("$ä$(VAR_A)", "$äA"),
        ];
        for (input, expected) in cases {
            assert_eq!(expand(input, known), expected, "{input}");
        }
    }
}
