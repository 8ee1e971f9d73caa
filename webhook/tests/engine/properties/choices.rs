//! Decisions from bytes: a generator reads them one after the other, so that proptest shrinks towards "nothing there".

use proptest::prelude::*;
use serde_json::{Value, json};

/// A stream of decisions; past its end, every answer is the first one.
#[derive(Debug)]
pub(super) struct Choices {
    bytes: std::vec::IntoIter<u8>,
}

/// Enough bytes for a whole pod or profile.
pub(super) fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..600)
}

impl Choices {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into_iter() }
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::from(self.bytes.next().unwrap_or_default()) % limit
    }

    /// True in one of so many cases.
    pub(super) fn one_in(&mut self, limit: usize) -> bool {
        self.below(limit) == limit - 1
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// Some of these, in their order.
    pub(super) fn some<T: Clone>(&mut self, from: &[T]) -> Vec<T> {
        from.iter().filter(|_| self.one_in(2)).cloned().collect()
    }

    /// Some of these, from any start, and now and then one of them twice.
    pub(super) fn mixture(&mut self, from: &[Value]) -> Vec<Value> {
        let mut list = self.some(from);
        if !list.is_empty() {
            let start = self.below(list.len());
            list.rotate_left(start);
            if self.one_in(4) {
                let again = self.pick(&list);
                list.push(again);
            }
        }
        list
    }

    /// Writes a field in one of the ways in which it can be there or not.
    pub(super) fn put(&mut self, map: &mut Value, field: &str, full: Value) {
        let empty = if full.is_array() { json!([]) } else { json!({}) };
        let value = match self.below(6) {
            0 => return,
            1 => Value::Null,
            2 => empty,
            _ => full,
        };
        map[field] = value;
    }

    /// Writes one of these values, or nothing.
    pub(super) fn maybe(&mut self, map: &mut Value, field: &str, values: &[Value]) {
        let index = self.below(values.len() + 1);
        if index > 0 {
            map[field] = values[index - 1].clone();
        }
    }

    /// Adds a field that nobody knows yet.
    pub(super) fn future(&mut self, map: &mut Value) {
        if self.one_in(4) {
            map["futureField"] =
                self.pick(&[json!("x"), json!({ "a/b": ["~", 1.5, null] }), json!([]), json!(false)]);
        }
    }
}
