//! What every REST operation tells the one code path that carries it out.

use super::request::Request;
use crate::ocid::Ocid;
use crate::transport::Kind as TransportKind;
use serde::de::DeserializeOwned;

/// One REST operation with its input.
pub trait Operation: Send + Sync + 'static {
    /// Its name, as the RPC's and in errors and logs.
    const NAME: &'static str;
    /// What OCI answers.
    type Output: DeserializeOwned + Clone + Send + Sync + 'static;

    /// The request, made once per call: every attempt sends the same bytes.
    fn request(&self) -> Result<Request, serde_json::Error>;

    /// The resource that the call is about, for error messages and logs.
    fn subject(&self) -> &Ocid;

    /// The id of what was made, for logs.
    fn made(_output: &Self::Output) -> Option<&str> {
        None
    }

    /// Whether an answer that could be read answers this request.
    fn check(&self, _output: &Self::Output) -> Result<(), Unusable> {
        Ok(())
    }
}

/// Why a 2xx answer is of no use, by what it says about the resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Cut short, or not JSON: it may not even be OCI that answered.
    #[error("the answer could not be read: {reason}")]
    Unreadable {
        /// Never the answer's own text.
        reason: String,
    },
    /// Its head came, but not the whole of it.
    #[error("the answer could not be read: {kind}")]
    Broken {
        /// What happened to the rest.
        kind: TransportKind,
    },
    /// OCI's JSON, but the resource in it cannot be used: it was made, and its answer is lost.
    #[error("the answer is OCI's, but the resource in it cannot be used: {reason}")]
    Malformed {
        /// Which field, and why.
        reason: String,
    },
    /// An answer without a resource.
    #[error("the answer holds no resource (HTTP {status})")]
    Empty {
        /// The HTTP status, 204 or 205.
        status: u16,
    },
    /// A resource made from something else than was asked for.
    #[error("the answer names another source than the request, {named:?}")]
    OtherSource {
        /// What it names.
        named: String,
    },
}

impl Unusable {
    /// Whether an answer is about what was asked for, as far as it says.
    pub(super) fn unless_about(asked: &Ocid, named: Option<&str>) -> Result<(), Self> {
        match named {
            Some(other) if !other.eq_ignore_ascii_case(asked.as_str()) => {
                Err(Self::OtherSource { named: other.to_owned() })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Reads a 2xx body: first as JSON, then as the resource, since the two failures mean different things.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unusable> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data if is_object(body) => {
            Unusable::Malformed { reason: where_it_fails(&error) }
        }
        serde_json::error::Category::Data => Unusable::Unreadable { reason: "not a JSON object".to_owned() },
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => Unusable::Unreadable { reason: where_it_fails(&error) },
    })
}

/// Whether the whole body is one JSON object: a data error stops the reader early, so what follows it has
/// not been looked at yet.
fn is_object(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).is_ok()
}

/// What is wrong with OCI's JSON in serde's words, which quote the value; of what may not be OCI's, the place
/// alone.
fn where_it_fails(error: &serde_json::Error) -> String {
    /// A value may be as long as the answer; nobody wants to read it in a log.
    const LONGEST: usize = 200;
    match error.classify() {
        serde_json::error::Category::Data => error.to_string().chars().take(LONGEST).collect(),
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => {
            format!("no valid JSON (line {}, column {})", error.line(), error.column())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::boot_volume_backup::BootVolumeBackup;
    use crate::oci::volume_backup::CreateVolumeBackup;
    use crate::oci::volume_backup::VolumeBackup;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq)]
    enum Class {
        Usable,
        Unreadable,
        Malformed,
    }

    fn class_of(body: &[u8]) -> Class {
        match read::<VolumeBackup>(body) {
            Ok(_) => Class::Usable,
            Err(Unusable::Unreadable { .. }) => Class::Unreadable,
            Err(Unusable::Malformed { .. }) => Class::Malformed,
            Err(other) => panic!("reading a body says nothing about {other:?}"),
        }
    }

    #[test]
    fn tells_an_answer_that_is_lost_from_a_resource_that_cannot_be_used() {
        let cases: &[(&[u8], Class)] = &[
            (br#"{"id":"x"}"#, Class::Usable),
            (br#" {"id":"x","sizeInGBs":null,"new":[{}]} "#, Class::Usable),
            (br#"{"id":""}"#, Class::Malformed),
            (b"", Class::Unreadable),
            (b" ", Class::Unreadable),
            (b"<html></html>", Class::Unreadable),
            (b"\xef\xbb\xbf{}", Class::Unreadable),
            (b"{\"id\":\"\xff\"}", Class::Unreadable),
            (br#"{"id":"x""#, Class::Unreadable),
            (br#"{"id":"x"} {"#, Class::Unreadable),
            (br#"{"id":"x"}}"#, Class::Unreadable),
            // Wrong at first sight, and then cut short.
            (br#"{"id":5,"a":"#, Class::Unreadable),
            (br#"{"id":"x","id":"y""#, Class::Unreadable),
            // JSON, but no object: whoever sent it, it was not OCI.
            (b"null", Class::Unreadable),
            (b"5", Class::Unreadable),
            (br#""x""#, Class::Unreadable),
            (b"[]", Class::Unreadable),
            (br#"[{"id":"x"}]"#, Class::Unreadable),
            (b"{}", Class::Malformed),
            (br#"{"id":null}"#, Class::Malformed),
            (br#"{"id":5}"#, Class::Malformed),
            (br#"{"id":"x","id":"y"}"#, Class::Malformed),
            (br#"{"id":"x","sizeInGBs":"many"}"#, Class::Malformed),
            (br#"{"id":"x","timeCreated":"yesterday"}"#, Class::Malformed),
            (br#"{"id":"x","type":5}"#, Class::Malformed),
            (br#"{"id":"x","freeformTags":[]}"#, Class::Malformed),
            (br#"{"id":"x","definedTags":{"a":"b"}}"#, Class::Malformed),
            (br#"{"id":"x","isRetentionLockEnabled":"true"}"#, Class::Malformed),
        ];
        for (body, class) in cases {
            assert_eq!(class_of(body), *class, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn says_where_json_ends_without_repeating_it() {
        let unusable = read::<VolumeBackup>(b"{\"id\":\n secret}").unwrap_err();
        assert_eq!(unusable, Unusable::Unreadable { reason: "no valid JSON (line 2, column 2)".to_owned() });
    }

    #[test]
    fn a_reason_stays_short_whatever_the_answer_holds() {
        for value in [format!("\"{}\"", "ü".repeat(9000)), format!("[{}1]", "1,".repeat(9000))] {
            let body = format!(r#"{{"id":"x","sizeInGBs":{value}}}"#);
            let Unusable::Malformed { reason } = read::<VolumeBackup>(body.as_bytes()).unwrap_err() else {
                panic!("a size that is none makes a resource unusable");
            };
            assert!((10..=200).contains(&reason.chars().count()), "{reason}");
        }
    }

    #[test]
    fn a_create_believes_no_answer_about_another_volume() {
        let input = CreateVolumeBackup {
            volume_id: Ocid::parse("ocid1.volume.oc1.iad.a").unwrap(),
            details: crate::oci::backup::CreateDetails::default(),
            retry_token: crate::oci::retry_token::RetryToken::generate(),
        };
        for (named, right) in [
            (r#""ocid1.volume.oc1.iad.a""#, true),
            ("null", true),
            (r#""ocid1.volume.oc1.iad.b""#, false),
            (r#""""#, false),
        ] {
            let body = format!(r#"{{"id":"x","volumeId":{named}}}"#);
            let check = input.check(&read(body.as_bytes()).unwrap());
            assert_eq!(check.is_ok(), right, "{named}: {check:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(body in vec(any::<u8>(), 0..300)) {
            let _ = read::<VolumeBackup>(&body).map_err(|unusable| unusable.to_string());
            let _ = read::<BootVolumeBackup>(&body).map_err(|unusable| unusable.to_string());
        }

        #[test]
        fn no_damage_to_an_answer_makes_the_reader_panic_or_lose_its_truth(
            place in 0_usize..170, byte in any::<u8>(), length in 0_usize..=170,
        ) {
            let whole = br#"{"id":"x","sizeInGBs":50,"timeCreated":"2026-01-01T00:00:00.5Z","type":"FULL",
                "definedTags":{"a":{"b":1.5}},"freeformTags":{"c":null},"retentionPeriod":{"retentionTimeAmount":"3"}}"#;
            let mut body = whole.to_vec();
            if let Some(at) = body.get_mut(place) {
                *at = byte;
            }
            body.truncate(length.max(1));
            if length < whole.len() - 30 {
                // An object that was cut short is never OCI's word about the resource.
                prop_assert_eq!(class_of(&whole[..length.max(1)]), Class::Unreadable);
            }
            let _ = read::<VolumeBackup>(&body).map_err(|unusable| unusable.to_string());
        }
    }
}
