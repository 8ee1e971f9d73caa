//! Names and addresses: host aliases by ip, DNS servers and search domains once, resolver options by name.

use serde_json::Value;

use super::{Action, Denial, Merge};
use crate::admit::patch::{Json, ListEdit};
use crate::admit::plan::{MAX_NAMESERVERS, MAX_SEARCHES, hostnames};
use crate::admit::pod::value_of;
use crate::admit::pointer::Pointer;

pub(super) fn host_aliases(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let wanted = &merge.plan.overlay.host_aliases;
    if wanted.is_empty() {
        return Ok(());
    }
    let present = merge.target.spec.host_aliases;
    let known = value_of(present);
    let path = Pointer::new("/spec/hostAliases");
    let mut edit = ListEdit::new(path, known.is_array());
    let known: &[Value] = known.as_array().map_or(&[], Vec::as_slice);
    for item in wanted {
        let same_ip = |alias: &&Value| alias.get("ip").and_then(Value::as_str) == Some(item.key.as_str());
        let entries: Vec<&Value> = known.iter().filter(same_ip).collect();
        let Some(first) = known.iter().position(|alias| same_ip(&alias)) else {
            edit.push(&mut merge.patch, &item.json);
            merge.note(Action::Added, "hostAlias", item);
            continue;
        };
        let is_known = |name: &str| entries.iter().any(|alias| hostnames(alias).any(|known| known == name));
        let missing: Vec<&str> = hostnames(&item.value).filter(|name| !is_known(name)).collect();
        let action = if missing.is_empty() { Action::Unchanged } else { Action::Added };
        let list = known.get(first).and_then(|alias| alias.get("hostnames")).is_some_and(Value::is_array);
        let alias = path.index(first);
        let mut names = ListEdit::new(alias.key("hostnames"), list);
        for name in missing {
            names.push(&mut merge.patch, Json::Text(name));
        }
        names.finish(&mut merge.patch);
        merge.note(action, "hostAlias", item);
    }
    edit.finish(&mut merge.patch);
    Ok(())
}

pub(super) fn dns_config(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let overlay = &merge.plan.overlay;
    if overlay.nameservers.is_empty() && overlay.searches.is_empty() && overlay.dns_options.is_empty() {
        return Ok(());
    }
    let path = Pointer::new("/spec/dnsConfig");
    let known = value_of(merge.target.spec.dns_config);
    if !known.is_object() {
        merge.patch.add(path, "{}");
    }
    let lists = [
        ("nameservers", "nameserver", &overlay.nameservers, MAX_NAMESERVERS),
        ("searches", "DNS search domain", &overlay.searches, MAX_SEARCHES),
    ];
    for (list, field, wanted, limit) in lists {
        let present = known.get(list).and_then(Value::as_array);
        let mut count = present.map_or(0, Vec::len);
        let mut edit = ListEdit::new(path.key(list), present.is_some());
        for item in wanted {
            if present.is_some_and(|present| present.contains(&item.value)) {
                merge.note(Action::Unchanged, field, item);
            } else if count < limit {
                edit.push(&mut merge.patch, &item.json);
                merge.note(Action::Added, field, item);
                count += 1;
            } else {
                // The API server would refuse the pod: what fills the list stays.
                merge.note_value(Action::Kept, list, "", &item.json, &item.origin);
            }
        }
        edit.finish(&mut merge.patch);
    }
    dns_options(merge, &known);
    Ok(())
}

fn dns_options(merge: &mut Merge<'_>, known: &Value) {
    let overlay = &merge.plan.overlay;
    let present = known.get("options").and_then(Value::as_array);
    let mut edit = ListEdit::new("/spec/dnsConfig/options", present.is_some());
    for item in &overlay.dns_options {
        let same_name =
            |option: &&Value| option.get("name").and_then(Value::as_str) == Some(item.key.as_str());
        match present.into_iter().flatten().find(same_name) {
            None => {
                edit.push(&mut merge.patch, &item.json);
                merge.note(Action::Added, "DNS option", item);
            }
            Some(option)
                if option.get("value").unwrap_or(&Value::Null)
                    == item.value.get("value").unwrap_or(&Value::Null) =>
            {
                merge.note(Action::Unchanged, "DNS option", item);
            }
            Some(_) => merge.note(Action::Kept, "DNS option", item),
        }
    }
    edit.finish(&mut merge.patch);
}
