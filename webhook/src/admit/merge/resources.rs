//! Requests and limits of the Spark container, by resource name. A request above its limit is refused by the API server, so
//! where the two would come together one of the profile's gives way to what the pod has.

use serde_json::{Map, Value};

use super::scalars::Fields;
use super::{Action, Denial, Merge};
use crate::admit::equal::{Kind, same};
use crate::admit::patch::MapEdit;
use crate::admit::plan::{Item, Keyed};
use crate::admit::pod::value_of;
use crate::admit::quantity;

pub(super) fn resources(merge: &mut Merge<'_>) -> Result<(), Denial> {
    let overlay = &merge.plan.overlay.spark;
    if overlay.requests.is_empty() && overlay.limits.is_empty() {
        return Ok(());
    }
    let path = merge.target.spark_path.key("resources");
    let mut known = value_of(merge.target.spark.resources);
    if !known.is_object() {
        merge.patch.add(path, "{}");
    }
    let section = |known: &mut Value, name| known.get_mut(name).map_or(Value::Null, Value::take);
    let requests = Amounts::new(merge, section(&mut known, "requests"), "request", &overlay.requests);
    let limits = Amounts::new(merge, section(&mut known, "limits"), "limit", &overlay.limits);

    let fields = |field| Fields { kind: Kind::Amount, enforced_as: "resources", field };
    let is_too_high = |request: &&Item| {
        !requests.has_own(request) && is_above(Some(&request.value), limits.given(&request.key))
    };
    let is_too_low =
        |limit: &&Item| !limits.has_own(limit) && is_above(requests.given(&limit.key), Some(&limit.value));
    let edit = |name, amounts: &Amounts<'_>| MapEdit::new(path.key(name), amounts.own.is_object());
    let possible = overlay.requests.iter().filter(|request| !is_too_high(request));
    fields("requests").set_in(merge, edit("requests", &requests), possible, &requests.own)?;
    let possible = overlay.limits.iter().filter(|limit| !is_too_low(limit));
    fields("limits").set_in(merge, edit("limits", &limits), possible, &limits.own)?;
    for request in overlay.requests.iter().filter(is_too_high) {
        merge.give_way("resources", || too_little(merge, &limits, request))?;
        merge.note(Action::Kept, "limits", request);
    }
    for limit in overlay.limits.iter().filter(is_too_low) {
        merge.give_way("resources", || too_much(merge, &requests, limit))?;
        merge.note(Action::Kept, "requests", limit);
    }
    Ok(())
}

/// The requests, or the limits, of the Spark container.
struct Amounts<'a> {
    /// What somebody chose.
    own: Value,
    /// What LimitRanger filled in, because nobody had chosen anything.
    defaults: Map<String, Value>,
    wanted: &'a Keyed,
}

impl<'a> Amounts<'a> {
    /// `kind` is LimitRanger's word for them.
    fn new(merge: &Merge<'a>, mut own: Value, kind: &str, wanted: &'a Keyed) -> Self {
        let mut defaults = Map::new();
        if let Some(own) = own.as_object_mut() {
            for name in filled_in(merge, kind) {
                let ours = wanted.get(name).zip(own.get(name));
                // The profile's amount stays where it is, whoever put it there.
                if ours.is_none_or(|(ours, own)| !same(Kind::Amount, &ours.value, own)) {
                    defaults.extend(own.remove_entry(name));
                }
            }
        }
        Self { own, defaults, wanted }
    }

    fn has_own(&self, item: &Item) -> bool {
        self.own.get(&item.key).is_some_and(|own| !own.is_null())
    }

    /// What the pod will have that is not the profile's: whether two amounts of a profile fit is its owner's business.
    fn given(&self, name: &str) -> Option<&Value> {
        let own = self.own.get(name).filter(|own| !own.is_null());
        own.or_else(|| self.defaults.get(name).filter(|_| self.wanted.get(name).is_none()))
    }
}

/// Written by the plugin LimitRanger, which is called before us: `LimitRanger plugin set: cpu, memory request for container
/// a; cpu limit for container a`. A pod that forges it gets the profile's amount.
const LIMIT_RANGER: (&str, &str) = ("kubernetes.io/limit-ranger", "LimitRanger plugin set: ");

/// Names of the resources of the Spark container that LimitRanger filled in.
fn filled_in<'m>(merge: &'m Merge<'_>, kind: &str) -> impl Iterator<Item = &'m str> {
    let (annotation, prefix) = LIMIT_RANGER;
    let said = merge.target.pod.annotation(annotation).and_then(|said| said.strip_prefix(prefix));
    let container = merge.target.spark.name.as_deref().unwrap_or_default();
    let end = format!(" {kind} for container {container}");
    let clauses = said.into_iter().flat_map(|said| said.split("; "));
    clauses.filter_map(move |clause| clause.strip_suffix(&*end)).flat_map(|names| names.split(", "))
}

/// Whether a request is above a limit.
fn is_above(request: Option<&Value>, limit: Option<&Value>) -> bool {
    let amount = |value: Option<&Value>| quantity::billionths(value?.as_str()?);
    amount(request).zip(amount(limit)).is_some_and(|(request, limit)| request > limit)
}

fn too_much(merge: &Merge<'_>, requests: &Amounts<'_>, limit: &Item) -> String {
    format!(
        "the pod requests {} of {}, more than the limit of {} that profile {} enforces ({}); request less",
        text(requests.given(&limit.key)),
        limit.key,
        limit.text(),
        merge.plan.profile,
        limit.origin
    )
}

fn too_little(merge: &Merge<'_>, limits: &Amounts<'_>, request: &Item) -> String {
    format!(
        "the pod has a limit of {} of {}, less than the request of {} that profile {} enforces ({}); raise the limit, which may be that of a LimitRange",
        text(limits.given(&request.key)),
        request.key,
        request.text(),
        merge.plan.profile,
        request.origin
    )
}

fn text(amount: Option<&Value>) -> &str {
    amount.and_then(Value::as_str).unwrap_or_default()
}
