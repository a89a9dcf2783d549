//! A protobuf message and the JSON object that means the same, made side by side, field by field.

use proptest::prelude::*;
use serde_json::Map;
use serde_json::Value as Json;
use std::fmt::Debug;

#[derive(Debug, Clone)]
pub(super) struct Case<M> {
    pub(super) json: Map<String, Json>,
    pub(super) message: M,
}

/// One field: as JSON, where it is there at all, and as protobuf.
#[derive(Debug, Clone)]
pub(super) struct Field<T> {
    pub(super) json: Option<Json>,
    pub(super) value: T,
}

/// All cases of a message; a table of `OCI's name, what it may be, the protobuf field`.
pub(super) struct Cases<M>(BoxedStrategy<Case<M>>);

impl<M: Clone + Debug + Default + 'static> Cases<M> {
    pub(super) fn new() -> Self {
        Self(Just(Case { json: Map::new(), message: M::default() }).boxed())
    }

    pub(super) fn with<T: Debug + 'static>(
        self,
        name: &'static str,
        field: impl Strategy<Value = Field<T>> + 'static,
        set: fn(&mut M, T),
    ) -> Self {
        let cases = (self.0, field).prop_map(move |(mut case, field)| {
            case.json.extend(field.json.map(|json| (name.to_owned(), json)));
            set(&mut case.message, field.value);
            case
        });
        Self(cases.boxed())
    }

    /// JSON that no field of the message stands for.
    pub(super) fn with_others(self, others: impl Strategy<Value = Map<String, Json>> + 'static) -> Self {
        let cases = (self.0, others).prop_map(|(mut case, others)| {
            case.json.extend(others);
            case
        });
        Self(cases.boxed())
    }

    pub(super) fn strategy(self) -> BoxedStrategy<Case<M>> {
        self.0
    }
}
