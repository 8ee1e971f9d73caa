//! Decoding a call: once from front to back, and of its pod no more than the decision takes.
//!
//! The API server writes what a call is about before the object, and the metadata of a pod before its spec. So it is
//! known in time whether anybody will look at the spec, the dearer half of a pod: where nobody will, it is checked to
//! be JSON and skipped, whatever else it is. Whoever writes in another order gets the same answer, and pays for a
//! second look at the spec.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::pod::{Pod, Text};
use super::review::Request;

/// The only version and kind that we speak.
const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// Whether the spec of a pod is needed, by the call and the metadata of the pod.
pub(super) type NeedsSpec<'n> = &'n dyn Fn(&Request<'_>, &Pod<'_>) -> bool;

/// Decodes the body of a call.
///
/// # Errors
///
/// A sentence without any part of the body, for an answer 400.
pub(super) fn decode<'a>(body: &'a [u8], needs_spec: NeedsSpec<'_>) -> Result<Box<Request<'a>>, String> {
    if body.is_empty() {
        return Err("the body is empty; send an AdmissionReview".to_owned());
    }
    // Checked once and fast; otherwise every string would be checked on its own.
    let body = std::str::from_utf8(body)
        .map_err(|error| format!("the body is not JSON: byte {} is not UTF-8", error.valid_up_to()))?;
    match read(body, Object::Pod(needs_spec)) {
        Ok(review) => opened(review),
        Err(error) => decode_without_object(body, &error),
    }
}

/// The object does not decode as a pod: either it is none, and none of our business, or the body is broken.
fn decode_without_object<'a>(body: &'a str, error: &serde_json::Error) -> Result<Box<Request<'a>>, String> {
    // Position only: the text of an error of serde_json may quote the value that it stumbled over.
    let at = format!("line {}, column {}", error.line(), error.column());
    if error.is_syntax() || error.is_eof() {
        return Err(format!("the body is not JSON, or is cut off, at {at}"));
    }
    let review = read(body, Object::Ignored)
        .map_err(|_| format!("the body is not an AdmissionReview of {API_VERSION}: wrong type at {at}"))?;
    let mut request = opened(review)?;
    let is_pod = request.kind.as_ref().and_then(|kind| kind.kind.as_deref()) == Some("Pod");
    if is_pod && request.object.is_some() {
        return Err(format!("request.object is not a Pod: wrong type at {at}"));
    }
    request.object = None;
    Ok(request)
}

fn read<'a>(body: &'a str, object: Object<'_>) -> serde_json::Result<Review<'a>> {
    let mut json = serde_json::Deserializer::from_str(body);
    let review = Nullable(ReviewFields(object)).deserialize(&mut json)?;
    json.end()?;
    Ok(review.unwrap_or_default())
}

fn opened(review: Review<'_>) -> Result<Box<Request<'_>>, String> {
    let Review { api_version, kind, request } = review;
    if api_version.as_deref() != Some(API_VERSION) || kind.as_deref() != Some(KIND) {
        return Err(format!("apiVersion and kind must be {API_VERSION} and {KIND}"));
    }
    let request = request.ok_or("the AdmissionReview has no request")?;
    if request.uid.as_deref().is_none_or(str::is_empty) {
        return Err("request.uid is missing; an answer could not be matched".to_owned());
    }
    Ok(request)
}

#[derive(Default)]
struct Review<'a> {
    api_version: Option<Text<'a>>,
    kind: Option<Text<'a>>,
    /// Boxed: half a kilobyte that would move with every step of the decoder.
    request: Option<Box<Request<'a>>>,
}

/// What becomes of the object of a call.
#[derive(Clone, Copy)]
enum Object<'n> {
    /// It is read as a pod.
    Pod(NeedsSpec<'n>),
    /// It is noted to be there.
    Ignored,
}

/// Reads a value from the fields of a map.
trait Fields<'de> {
    type Value;

    fn read<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error>;
}

/// A map, or `null`, which is as if it were absent.
struct Nullable<F>(F);

impl<'de, F: Fields<'de>> DeserializeSeed<'de> for Nullable<F> {
    type Value = Option<F::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, F: Fields<'de>> Visitor<'de> for Nullable<F> {
    type Value = Option<F::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.0.read(map).map(Some)
    }
}

/// Fills a field that may be there once.
fn fill<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    field: &mut Option<T>,
    name: &'static str,
    map: &mut A,
) -> Result<(), A::Error> {
    if field.is_some() {
        return Err(A::Error::duplicate_field(name));
    }
    *field = map.next_value()?;
    Ok(())
}

struct ReviewFields<'n>(Object<'n>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum ReviewField {
    ApiVersion,
    Kind,
    Request,
    #[serde(other)]
    Other,
}

impl<'de> Fields<'de> for ReviewFields<'_> {
    type Value = Review<'de>;

    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<Review<'de>, A::Error> {
        let mut review = Review::default();
        while let Some(field) = map.next_key()? {
            match field {
                ReviewField::ApiVersion => fill(&mut review.api_version, "apiVersion", &mut map)?,
                ReviewField::Kind => fill(&mut review.kind, "kind", &mut map)?,
                ReviewField::Request if review.request.is_some() => {
                    return Err(A::Error::duplicate_field("request"));
                }
                ReviewField::Request => {
                    review.request = map.next_value_seed(Nullable(RequestFields(self.0)))?;
                }
                ReviewField::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(review)
    }
}

struct RequestFields<'n>(Object<'n>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum RequestField {
    Uid,
    Kind,
    Resource,
    SubResource,
    Name,
    Namespace,
    Operation,
    DryRun,
    Object,
    #[serde(other)]
    Other,
}

impl<'de> Fields<'de> for RequestFields<'_> {
    type Value = Box<Request<'de>>;

    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<Box<Request<'de>>, A::Error> {
        let mut request = Box::<Request<'_>>::default();
        let mut unread = None;
        while let Some(field) = map.next_key()? {
            match field {
                RequestField::Uid => fill(&mut request.uid, "uid", &mut map)?,
                RequestField::Kind => fill(&mut request.kind, "kind", &mut map)?,
                RequestField::Resource => fill(&mut request.resource, "resource", &mut map)?,
                RequestField::SubResource => fill(&mut request.sub_resource, "subResource", &mut map)?,
                RequestField::Name => fill(&mut request.name, "name", &mut map)?,
                RequestField::Namespace => fill(&mut request.namespace, "namespace", &mut map)?,
                RequestField::Operation => fill(&mut request.operation, "operation", &mut map)?,
                RequestField::DryRun => fill(&mut request.dry_run, "dryRun", &mut map)?,
                RequestField::Object if request.object.is_some() => {
                    return Err(A::Error::duplicate_field("object"));
                }
                RequestField::Object => match self.0 {
                    Object::Pod(needs_spec) => {
                        let fields = PodFields { request: &request, needs_spec };
                        if let Some((pod, spec)) = map.next_value_seed(Nullable(fields))? {
                            (request.object, unread) = (Some(pod), spec);
                        }
                    }
                    Object::Ignored => {
                        request.object = map.next_value::<Option<IgnoredAny>>()?.map(|_| Pod::default());
                    }
                },
                RequestField::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if let (Some(spec), Object::Pod(needs_spec)) = (unread, self.0)
            && request.object.as_ref().is_some_and(|pod| needs_spec(&request, pod))
        {
            let spec = serde_json::from_str(spec.get()).map_err(A::Error::custom)?;
            request.object = request.object.take().map(|pod| Pod { spec, ..pod });
        }
        Ok(request)
    }
}

/// Reads a pod; with it, its spec as text if that came before what tells whether it is needed.
struct PodFields<'r, 'a, 'n> {
    /// What has been read of the call.
    request: &'r Request<'a>,
    needs_spec: NeedsSpec<'n>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum PodField {
    Metadata,
    Spec,
    #[serde(other)]
    Other,
}

impl<'de> Fields<'de> for PodFields<'_, '_, '_> {
    type Value = (Pod<'de>, Option<&'de RawValue>);

    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pod = Pod::default();
        let (mut seen, mut unread) = (false, None);
        // What is missing here may follow, and make a difference; anything else that follows could only be a further
        // reason to leave the pod alone.
        let is_known = self.request.namespace.is_some() && self.request.operation.is_some();
        while let Some(field) = map.next_key()? {
            match field {
                PodField::Metadata => fill(&mut pod.metadata, "metadata", &mut map)?,
                PodField::Spec if std::mem::replace(&mut seen, true) => {
                    return Err(A::Error::duplicate_field("spec"));
                }
                PodField::Spec if !is_known || pod.metadata.is_none() => unread = map.next_value()?,
                PodField::Spec if (self.needs_spec)(self.request, &pod) => pod.spec = map.next_value()?,
                PodField::Spec | PodField::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok((pod, unread))
    }
}
