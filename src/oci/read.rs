//! Reading what OCI answers: generous in form, strict in meaning. A backup that was made must not count
//! as failed because a number came as a text.

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error as _;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Free-form tags: key to text.
pub type FreeformTags = BTreeMap<String, String>;

/// Defined and system tags: namespace to key to any JSON value.
pub type DefinedTags = BTreeMap<String, BTreeMap<String, Value>>;

/// A point in time that protobuf can say: years 0001 to 9999, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// What comes on top, always forward.
    pub nanos: i32,
}

impl Time {
    /// The range of `google.protobuf.Timestamp`.
    const RANGE: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

    /// Reads RFC 3339; `Ok(None)` is a time outside the range. jiff's own timestamps end a day before the
    /// year 9999 does, and its last second is what "never" looks like.
    fn parse(text: &str) -> Result<Option<Self>, jiff::Error> {
        let pieces = jiff::fmt::temporal::Pieces::parse(text)?;
        let (Some(time), Some(offset)) = (pieces.time(), pieces.to_numeric_offset()) else {
            return Err(jiff::Error::from_args(format_args!("a time of day and an offset are missing")));
        };
        let since =
            pieces.date().to_datetime(time).duration_since(jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0));
        let nanos = since.as_nanos() - i128::from(offset.seconds()) * 1_000_000_000;
        let seconds =
            i64::try_from(nanos.div_euclid(1_000_000_000)).ok().filter(|at| Self::RANGE.contains(at));
        let nanos = i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or_default();
        Ok(seconds.map(|seconds| Self { seconds, nanos }))
    }
}

/// A time; one that protobuf cannot say is absent, since a backup must not be lost for it.
pub(super) fn time<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Time>, D::Error> {
    match Option::<Cow<'de, str>>::deserialize(json)? {
        None => Ok(None),
        Some(text) => Time::parse(&text).map_err(|_error| D::Error::custom("a time is not of RFC 3339")),
    }
}

/// An id, which is never empty.
pub(super) fn id<'de, D: Deserializer<'de>>(json: D) -> Result<String, D::Error> {
    let id = String::deserialize(json)?;
    if id.is_empty() { Err(D::Error::custom("the id is empty")) } else { Ok(id) }
}

/// A whole number, also as `50.0` or `"50"`; `null` is absent.
pub(super) fn whole_number<'de, D: Deserializer<'de>>(json: D) -> Result<Option<i64>, D::Error> {
    match Option::<Value>::deserialize(json)? {
        None => Ok(None),
        Some(value) => match whole(&value) {
            Some(number) => Ok(Some(number)),
            None => Err(D::Error::custom("a size or an amount is not a whole number")),
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
    fn reads_times_as_far_as_protobuf_goes() {
        let at = |seconds, nanos| Some(Time { seconds, nanos });
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", at(0, 0)),
            ("2007-11-11T04:41:21.719Z", at(1_194_756_081, 719_000_000)),
            ("2007-11-11T05:41:21.719+01:00", at(1_194_756_081, 719_000_000)),
            ("1969-12-31T23:59:59.250Z", at(-1, 250_000_000)),
            ("0001-01-01T00:00:00Z", at(-62_135_596_800, 0)),
            ("9999-12-31T23:59:59.999999999Z", at(253_402_300_799, 999_999_999)),
            ("0001-01-01T00:00:00+00:01", None),
            ("9999-12-31T23:59:59-00:01", None),
            ("0000-06-01T00:00:00Z", None),
            ("-000100-01-01T00:00:00Z", None),
        ] {
            assert_eq!(Time::parse(text).unwrap(), expected, "{text}");
        }
        for text in
            ["", "yesterday", "2026-11-22", "2026-11-22T10:00:00", "1700000000", "2026-13-01T00:00:00Z"]
        {
            assert!(Time::parse(text).is_err(), "{text}");
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
