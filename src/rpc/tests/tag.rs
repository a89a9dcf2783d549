//! Values of tags, in both their forms.

use proptest::collection::btree_map;
use proptest::collection::vec;
use proptest::prelude::*;
use prost_types::ListValue;
use prost_types::Struct;
use prost_types::Value;
use prost_types::value::Kind;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// What JSON can hold. Whole numbers are those that an `f64` holds too; fractions have an exact text.
#[derive(Debug, Clone)]
pub(super) enum Tag {
    Null,
    Bool(bool),
    Whole(i64),
    Fraction(f64),
    Text(String),
    List(Vec<Tag>),
    Object(BTreeMap<String, Tag>),
}

impl Tag {
    pub(super) fn json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Whole(number) => Json::from(*number),
            Self::Fraction(number) => Json::from(*number),
            Self::Text(text) => Json::from(text.as_str()),
            Self::List(items) => items.iter().map(Self::json).collect(),
            Self::Object(fields) => fields.iter().map(|(key, tag)| (key.clone(), tag.json())).collect(),
        }
    }

    pub(super) fn proto(&self) -> Value {
        let kind = match self {
            Self::Null => Kind::NullValue(0),
            Self::Bool(value) => Kind::BoolValue(*value),
            Self::Whole(number) => Kind::NumberValue(*number as f64),
            Self::Fraction(number) => Kind::NumberValue(*number),
            Self::Text(text) => Kind::StringValue(text.clone()),
            Self::List(items) => {
                Kind::ListValue(ListValue { values: items.iter().map(Self::proto).collect() })
            }
            Self::Object(fields) => Kind::StructValue(structure(fields)),
        };
        Value { kind: Some(kind) }
    }
}

/// Tags by namespace and key, as a request or a resource holds them.
pub(super) type Namespaces = BTreeMap<String, BTreeMap<String, Tag>>;

pub(super) fn namespaces() -> impl Strategy<Value = Namespaces> {
    btree_map(text(), btree_map(text(), tag(), 0..4), 0..3)
}

pub(super) fn structs(namespaces: &Namespaces) -> BTreeMap<String, Struct> {
    namespaces.iter().map(|(namespace, tags)| (namespace.clone(), structure(tags))).collect()
}

pub(super) fn objects(namespaces: &Namespaces) -> Json {
    let object = |tags: &BTreeMap<String, Tag>| Tag::Object(tags.clone()).json();
    namespaces.iter().map(|(namespace, tags)| (namespace.clone(), object(tags))).collect()
}

fn structure(fields: &BTreeMap<String, Tag>) -> Struct {
    Struct { fields: fields.iter().map(|(key, tag)| (key.clone(), tag.proto())).collect() }
}

/// Any text, of any script.
pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z ]{0,9}", "\\PC{0,9}", any::<String>()]
}

pub(super) fn tag() -> impl Strategy<Value = Tag> {
    let leaf = prop_oneof![
        Just(Tag::Null),
        any::<bool>().prop_map(Tag::Bool),
        (-3_i64..100).prop_map(Tag::Whole),
        (any::<i64>(), 0..=10).prop_map(|(number, zeros)| Tag::Whole((number >> 11) << zeros)),
        any::<i32>().prop_map(|number| Tag::Fraction((f64::from(number) * 2.0 + 1.0) / 8.0)),
        text().prop_map(Tag::Text),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Tag::List),
            btree_map(text(), inner, 0..4).prop_map(Tag::Object),
        ]
    })
}
