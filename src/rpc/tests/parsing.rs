//! Any message is either valid or answered with all that is wrong with it.

use super::tag::text;
use crate::oci::boot_volume_backup::CreateBootVolumeBackup;
use crate::oci::operation::Operation;
use crate::oci::volume_backup::CreateVolumeBackup;
use crate::pb;
use crate::rpc::Rpc;
use crate::rpc::metadata::ToldToken;
use proptest::collection::btree_map;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use prost_types::Struct;
use prost_types::Value;
use prost_types::value::Kind;
use std::collections::BTreeSet;

/// A value for a field, and whether it is wrong by the contract.
type Judged<T> = (T, bool);

fn id(resource_type: &'static str) -> impl Strategy<Value = Judged<String>> {
    let id = move |rest: &str| format!("ocid1.{resource_type}.oc1.iad.{rest}");
    prop_oneof![
        "[a-z0-9]{1,60}".prop_map(move |rest| (id(&rest), false)),
        Just((id(&"a".repeat(255 - id("").len())), false)),
        Just((id(&"a".repeat(256 - id("").len())), true)),
        "[a-z]{0,5}[/?#%@&=+ \\\\\r\né][a-z]{0,5}".prop_map(move |rest| (id(&rest), true)),
        Just((id(""), true)),
        Just(("ocid1.instance.oc1.iad.a".to_owned(), true)),
        "[a-z]{0,9}".prop_map(|text| (text, true)),
    ]
}

fn display_name() -> impl Strategy<Value = Judged<String>> {
    prop_oneof![
        text().prop_map(|name| (name.chars().take(255).collect(), false)),
        Just(("é".repeat(255), false)),
        Just(("é".repeat(256), true)),
    ]
}

fn enum_value() -> impl Strategy<Value = Judged<i32>> {
    prop_oneof![0..=2, Just(100), any::<i32>()].prop_map(|number| (number, !(0..=2).contains(&number)))
}

fn retry_token() -> impl Strategy<Value = Judged<String>> {
    prop_oneof![
        "[!-~]([ -~]{0,62}[!-~])?".prop_map(|token| (token, false)),
        " [a-z]{1,9}|[a-z]{1,9} |[a-z]{0,9}[\u{0}-\u{1f}\u{7f}é][a-z]{0,9}|[a-z]{65}|"
            .prop_map(|token| (token, true)),
    ]
}

/// Numbers that JSON has no form for.
fn tag_number() -> impl Strategy<Value = Judged<f64>> {
    prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)]
        .prop_map(|number| (number, !number.is_finite()))
}

fn message() -> impl Strategy<Value = (pb::CreateVolumeBackupRequest, BTreeSet<&'static str>)> {
    let option = proptest::option::of::<BoxedStrategy<Judged<String>>>;
    (
        id("volume"),
        option(display_name().boxed()),
        enum_value(),
        option(id("key").boxed()),
        btree_map(text(), text(), 0..3),
        proptest::option::of((text(), text(), tag_number())),
        proptest::option::of((enum_value(), proptest::option::of(any::<i64>()))),
        option(retry_token().boxed()),
    )
        .prop_map(|(volume_id, name, r#type, key, freeform_tags, tag, period, token)| {
            let wrong = [
                ("volume_id", volume_id.1),
                ("display_name", name.as_ref().is_some_and(|it| it.1)),
                ("type", r#type.1),
                ("kms_key_id", key.as_ref().is_some_and(|it| it.1)),
                ("defined_tags", tag.as_ref().is_some_and(|it| it.2.1)),
                ("retention_period.retention_time_unit", period.as_ref().is_some_and(|it| it.0.1)),
                ("retry_token", token.as_ref().is_some_and(|it| it.1)),
            ];
            let tags = |(namespace, key, number): (String, String, Judged<f64>)| {
                let value = Value { kind: Some(Kind::NumberValue(number.0)) };
                (namespace, Struct { fields: [(key, value)].into() })
            };
            let message = pb::CreateVolumeBackupRequest {
                volume_id: volume_id.0,
                display_name: name.map(|it| it.0),
                r#type: r#type.0,
                kms_key_id: key.map(|it| it.0),
                freeform_tags,
                defined_tags: tag.map(tags).into_iter().collect(),
                retention_period: period.map(|(unit, amount)| pb::RetentionDuration {
                    retention_time_unit: unit.0,
                    retention_time_amount: amount,
                }),
                retry_token: token.map(|it| it.0),
                ..Default::default()
            };
            (message, wrong.into_iter().filter_map(|(field, wrong)| wrong.then_some(field)).collect())
        })
}

/// Whatever the message is: an input that has a request, or violations.
fn parses_or_says_why<R: Rpc + Operation>(message: R::Request) {
    match R::parse(message, ToldToken::None) {
        Ok(input) => assert!(input.request().is_ok()),
        Err(violations) => assert!(!violations.kept.is_empty() && violations.count >= violations.kept.len()),
    }
}

proptest! {
    #[test]
    fn every_wrong_field_is_named_and_no_other(case in message()) {
        let (message, wrong) = case;
        let token = message.retry_token.clone();
        match CreateVolumeBackup::parse(message, ToldToken::None) {
            Ok(_) => prop_assert!(wrong.is_empty(), "accepted in spite of {wrong:?}"),
            Err(violations) => {
                let name = |field: &str| field.split('[').next().unwrap_or_default().to_owned();
                let named: Vec<_> = violations.kept.iter().map(|it| name(&it.field)).collect();
                prop_assert_eq!(violations.count, named.len());
                prop_assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), wrong.iter().copied().map(str::to_owned).collect());
                let told = violations.retry_token.map(|token| token.as_str().to_owned());
                match token {
                    Some(token) if !wrong.contains("retry_token") => prop_assert_eq!(told, Some(token)),
                    Some(_) => prop_assert_eq!(told, None),
                    None => prop_assert!(told.is_some()),
                }
            }
        }
    }

    #[test]
    fn no_bytes_of_a_message_make_the_gateway_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(message) = pb::CreateVolumeBackupRequest::decode(bytes.as_slice()) {
            parses_or_says_why::<CreateVolumeBackup>(message);
        }
        if let Ok(message) = pb::CreateBootVolumeBackupRequest::decode(bytes.as_slice()) {
            parses_or_says_why::<CreateBootVolumeBackup>(message);
        }
    }

    #[test]
    fn no_damage_to_a_message_makes_the_gateway_panic(
        case in message(), place in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = case.0.encode_to_vec();
        // A message of defaults has no byte that could be damaged.
        prop_assume!(!bytes.is_empty());
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(message) = pb::CreateVolumeBackupRequest::decode(bytes.as_slice()) {
            parses_or_says_why::<CreateVolumeBackup>(message);
        }
    }
}

#[test]
fn the_token_of_the_metadata_and_of_the_field_are_one() {
    let parse = |field: Option<&str>, metadata: ToldToken<'_>| {
        let message = pb::CreateVolumeBackupRequest {
            volume_id: "ocid1.volume.oc1.iad.x".to_owned(),
            retry_token: field.map(str::to_owned),
            ..Default::default()
        };
        CreateVolumeBackup::parse(message, metadata).map(|input| input.retry_token.as_str().to_owned())
    };
    assert_eq!(parse(Some("a"), ToldToken::None).unwrap(), "a");
    assert_eq!(parse(None, ToldToken::Text("a")).unwrap(), "a");
    assert_eq!(parse(Some("a"), ToldToken::Text("a")).unwrap(), "a");
    assert_ne!(parse(None, ToldToken::None).unwrap(), parse(None, ToldToken::None).unwrap());
    for (field, metadata) in [
        (Some("a"), ToldToken::Text("b")),
        (Some("a"), ToldToken::Unusable),
        (None, ToldToken::Unusable),
        (None, ToldToken::Text("")),
        (Some(""), ToldToken::None),
        (Some(" a"), ToldToken::Text(" a")),
    ] {
        let violations = parse(field, metadata).unwrap_err();
        assert_eq!((violations.count, violations.kept[0].field.as_str()), (1, "retry_token"));
        assert!(violations.retry_token.is_none(), "{field:?}, {metadata:?}");
    }
}

#[test]
fn a_wrong_number_in_a_tag_is_named_by_its_path() {
    let number = |number| Value { kind: Some(Kind::NumberValue(number)) };
    let list = Value {
        kind: Some(Kind::ListValue(prost_types::ListValue { values: vec![number(1.0), number(f64::NAN)] })),
    };
    let inner = Value { kind: Some(Kind::StructValue(Struct { fields: [("c".to_owned(), list)].into() })) };
    let long = "k".repeat(100);
    let message = pb::CreateVolumeBackupRequest {
        volume_id: "ocid1.volume.oc1.iad.x".to_owned(),
        defined_tags: [
            ("a".to_owned(), Struct { fields: [("b".to_owned(), inner)].into() }),
            (long.clone(), Struct { fields: [(long, number(f64::INFINITY))].into() }),
        ]
        .into(),
        ..Default::default()
    };
    let violations = CreateVolumeBackup::parse(message, ToldToken::None).unwrap_err();
    let fields: Vec<_> = violations.kept.iter().map(|violation| violation.field.as_str()).collect();
    let short = "k".repeat(40);
    let cut = format!("defined_tags[\"{short}\"][\"{short}\"]");
    assert_eq!(fields, [r#"defined_tags["a"]["b"]["c"][1]"#, &cut]);
}
