//! Reading what OCI answers: generous in form, strict in meaning. A backup that was made must not count
//! as failed because a number came as a text.

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error as _;
use serde_json::Value;
use std::collections::BTreeMap;

/// Free-form tags: key to text.
pub type FreeformTags = BTreeMap<String, String>;

/// Defined and system tags: namespace to key to any JSON value.
pub type DefinedTags = BTreeMap<String, BTreeMap<String, Value>>;

/// A whole number, also as `50.0` or `"50"`; `null` is absent.
pub(super) fn whole_number<'de, D: Deserializer<'de>>(json: D) -> Result<Option<i64>, D::Error> {
    match Option::<Value>::deserialize(json)? {
        None => Ok(None),
        Some(value) => match whole(&value) {
            Some(number) => Ok(Some(number)),
            None => Err(D::Error::custom(format_args!("{value} is not a whole number"))),
        },
    }
}

fn whole(value: &Value) -> Option<i64> {
    /// Up to here every whole number has its own `f64`.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53: exact")]
            (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
        }),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A map whose entries may be `null`; those are absent, as is a map that is `null` itself.
pub(super) fn entries<'de, D, V>(json: D) -> Result<BTreeMap<String, V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    let map = Option::<BTreeMap<String, Option<V>>>::deserialize(json)?.unwrap_or_default();
    Ok(map.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[serde(default, deserialize_with = "whole_number")]
        size: Option<i64>,
        #[serde(default, deserialize_with = "entries")]
        tags: FreeformTags,
    }

    fn size(value: Value) -> Result<Option<i64>, serde_json::Error> {
        serde_json::from_value::<Sample>(json!({ "size": value })).map(|sample| sample.size)
    }

    #[test]
    fn reads_whole_numbers_in_every_form_and_refuses_others() {
        for (value, expected) in [
            (json!(50), Some(50)),
            (json!(-1), Some(-1)),
            (json!(0), Some(0)),
            (json!(i64::MAX), Some(i64::MAX)),
            (json!(50.0), Some(50)),
            (json!("50"), Some(50)),
            (Value::Null, None),
        ] {
            assert_eq!(size(value.clone()).unwrap(), expected, "{value}");
        }
        for value in
            [json!(1.5), json!(1e300), json!(u64::MAX), json!("x"), json!(true), json!([]), json!({})]
        {
            assert!(size(value.clone()).is_err(), "{value}");
        }
    }

    #[test]
    fn takes_null_maps_and_null_entries_as_absent() {
        let read = |value: Value| serde_json::from_value::<Sample>(value).unwrap().tags;
        assert!(read(json!({})).is_empty());
        assert!(read(json!({ "tags": null })).is_empty());
        assert_eq!(read(json!({ "tags": { "a": "b", "c": null } })).len(), 1);
    }
}
