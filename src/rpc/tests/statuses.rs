//! Whatever went wrong, the answer is one that a client can receive and read.

use crate::oci;
use crate::oci::error::Cause;
use crate::oci::error::Outcome;
use crate::oci::error::Service;
use crate::oci::error::TransportKind;
use crate::oci::operation::Unusable;
use crate::oci::request_id::RequestId;
use crate::oci::retry_token::Origin;
use crate::oci::retry_token::RetryToken;
use crate::ocid::Ocid;
use crate::rpc::field::Violation;
use crate::rpc::field::Violations;
use crate::rpc::status;
use crate::rpc::status::Refusal;
use http::HeaderMap;
use http::StatusCode;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;
use tonic_types::ErrorDetails;
use tonic_types::StatusExt;

fn anything() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        "\\PC{0,300}",
        " {0,3000}",
        vec(any::<char>(), 0..400).prop_map(String::from_iter)
    ]
}

fn code() -> impl Strategy<Value = Option<String>> {
    let known = prop::sample::select(vec![
        "InvalidParameter",
        "LimitExceeded",
        "QuotaExceeded",
        "NotAuthorizedOrNotFound",
        "IncorrectState",
        "InvalidatedRetryToken",
        "TooManyRequests",
    ]);
    let code = prop_oneof![known.prop_map(str::to_owned), "[A-Z][A-Za-z0-9]{0,70}", anything()];
    proptest::option::of(code)
}

fn service() -> impl Strategy<Value = Service> {
    let status = (300_u16..600).prop_map(|status| StatusCode::from_u16(status).unwrap());
    let retry_after = proptest::option::of((0_u64..100_000).prop_map(Duration::from_secs));
    (status, code(), anything(), retry_after).prop_map(|(status, code, message, retry_after)| Service {
        status,
        code,
        message,
        is_broken: false,
        retry_after,
    })
}

fn transport() -> impl Strategy<Value = Cause> {
    use TransportKind::*;
    let kind = prop::sample::select(vec![Request, Dns, Connect, Tls, Reset, Timeout, TooLarge]);
    kind.prop_map(|kind| Cause::Transport(kind.into()))
}

fn cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        4 => service().prop_map(Cause::Service),
        2 => transport(),
        1 => (1_u64..100_000_000).prop_map(|left| Cause::Breaker { left: Duration::from_micros(left) }),
        1 => service().prop_map(|last| Cause::Draining { last: Some(Arc::new(Cause::Service(last))) }),
        1 => Just(()).prop_map(|()| Cause::TokenReused),
        1 => anything().prop_map(|reason| Cause::Decode(Unusable::Unreadable { reason })),
        1 => anything().prop_map(|reason| Cause::Decode(Unusable::Malformed { reason })),
        1 => anything().prop_map(|named| Cause::Decode(Unusable::OtherSource { named })),
        1 => Just(()).prop_map(|()| Cause::Decode(Unusable::Empty { status: 204 })),
        1 => proptest::option::of(service())
            .prop_map(|last| Cause::Deadline { last: last.map(|last| Arc::new(Cause::Service(last))) }),
        1 => Just(()).prop_map(|()| Cause::Internal("a fault")),
    ]
}

fn outcome() -> impl Strategy<Value = Option<Outcome>> {
    proptest::option::of(prop::sample::select(vec![Outcome::NotStarted, Outcome::Unknown, Outcome::Started]))
}

fn retry_token() -> impl Strategy<Value = Option<RetryToken>> {
    proptest::option::of(prop_oneof![
        "[!-~]{1,64}".prop_map(|text| RetryToken::parse(&text).unwrap()),
        Just(()).prop_map(|()| RetryToken::generate()),
    ])
}

fn error() -> impl Strategy<Value = oci::Error> {
    let subject = "[a-z]{1,200}".prop_map(|kind| Ocid::parse(&format!("ocid1.{kind}.oc1.iad.a")).unwrap());
    let region = "[a-z.-]{0,253}";
    (
        cause(),
        subject,
        region,
        proptest::option::of("[a-z-]{1,250}"),
        outcome(),
        "[ -~]{1,256}",
        retry_token(),
    )
        .prop_map(|(cause, subject, region, elsewhere, outcome, opc_request_id, retry_token)| {
            oci::Error {
                cause: cause.into(),
                operation: "CreateVolumeBackup",
                subject,
                region: region.into(),
                elsewhere: elsewhere.map(Into::into),
                attempts: 1,
                outcome,
                opc_request_id: opc_request_id.into(),
                retry_token,
            }
        })
}

fn violations() -> impl Strategy<Value = Violations> {
    let violation = (anything(), anything()).prop_map(|(field, problem)| Violation { field, problem });
    (vec(violation, 0..20), 0_usize..1_000_000, retry_token())
        .prop_map(|(kept, more, retry_token)| Violations { count: kept.len() + more, kept, retry_token })
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        violations().prop_map(Refusal::Invalid),
        anything().prop_map(Refusal::Undecodable),
        anything().prop_map(Refusal::Unimplemented),
        Just(()).prop_map(|()| Refusal::Timeout),
        Just(()).prop_map(|()| Refusal::TooLarge),
        Just(()).prop_map(|()| Refusal::Deadline),
        Just(()).prop_map(|()| Refusal::Overloaded),
        Just(()).prop_map(|()| Refusal::Panic),
    ]
}

/// google.aip.dev/193: `[A-Z][A-Z0-9_]+[A-Z0-9]`, at most 63 characters.
fn is_reason(text: &str) -> bool {
    let bytes = text.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes[0].is_ascii_uppercase()
        && *bytes.last().unwrap() != b'_'
        && bytes.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().unwrap())
}

/// What holds for every status, as it goes over the wire.
fn is_sound(headers: &HeaderMap, details: &ErrorDetails) -> Result<(), TestCaseError> {
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    // The server tells the token of the metadata where the message was never read.
    let token = if headers.contains_key("opc-retry-token") { 0 } else { "opc-retry-token".len() + 64 };
    prop_assert!(size + token <= 4096, "{} bytes: {:?}", size, headers);

    let info = details.error_info().unwrap();
    prop_assert!(is_reason(&info.reason), "{:?}", info.reason);
    prop_assert!(["oci.oraclecloud.com", "oci-backup-gateway"].contains(&info.domain.as_str()));
    prop_assert_eq!(
        value(headers, "opc-request-id"),
        Some(details.request_info().unwrap().request_id.as_str())
    );

    let pushback: i64 = value(headers, "grpc-retry-pushback-ms").unwrap().parse().unwrap();
    prop_assert!(pushback == -1 || (pushback > 0 && details.retry_info().is_some()), "{}", pushback);
    Ok(())
}

proptest! {
    #[test]
    fn the_status_of_any_error_fits_and_can_be_read(error in error()) {
        let status = status::of(&error);
        let details = status.get_error_details();
        let code = status.code();
        let headers = status.into_http::<()>().into_parts().0.headers;
        is_sound(&headers, &details)?;

        let info = &details.error_info().unwrap().metadata;
        prop_assert_eq!(info.get("outcome").map(String::as_str), error.outcome.map(Outcome::as_str));
        prop_assert_eq!(info.get("operation").map(String::as_str), Some("CreateVolumeBackup"));
        prop_assert_eq!(value(&headers, "opc-request-id"), Some(&*error.opc_request_id));
        let token = error.retry_token.as_ref();
        prop_assert_eq!(value(&headers, "opc-retry-token"), token.map(RetryToken::as_str));

        let made_here = token.is_some_and(|token| token.origin() == Origin::Gateway);
        if made_here && matches!(error.outcome, Some(Outcome::Unknown | Outcome::Started)) {
            let late = matches!(&*error.cause, Cause::Deadline { .. });
            prop_assert_eq!(code, if late { Code::DeadlineExceeded } else { Code::Unknown });
            prop_assert_eq!(value(&headers, "grpc-retry-pushback-ms"), Some("-1"));
        }
    }

    #[test]
    fn the_status_of_any_refusal_fits_and_can_be_read(refusal in refusal(), operation in "[!-.0-~]{0,300}") {
        let status = refusal.status(&operation, &RequestId::generate(), None);
        let details = status.get_error_details();
        is_sound(&status.into_http::<()>().into_parts().0.headers, &details)?;
    }
}

fn refused(sizes: &[usize]) -> ErrorDetails {
    let kept = sizes
        .iter()
        .enumerate()
        .map(|(index, size)| Violation { field: format!("field_{index}"), problem: "x".repeat(*size) });
    let violations = Violations { count: sizes.len(), kept: kept.collect(), retry_token: None };
    Refusal::Invalid(violations)
        .status("CreateVolumeBackup", &RequestId::generate(), None)
        .get_error_details()
}

fn listed(details: &ErrorDetails) -> Vec<&str> {
    let violations = details.bad_request().map_or(&[][..], |request| &request.field_violations);
    violations.iter().map(|violation| violation.field.as_str()).collect()
}

#[test]
fn as_many_violations_are_listed_as_fit_and_all_are_counted() {
    let details = refused(&[60; 64]);
    let listed = listed(&details);
    assert!(listed.len() >= 20, "{}", listed.len());
    assert_eq!(listed[0], "field_0");
    assert_eq!(details.error_info().unwrap().metadata["violations"], "64");
}

#[test]
fn a_violation_that_is_too_long_hides_no_other() {
    assert_eq!(listed(&refused(&[20, 5000, 20])), ["field_0", "field_2"]);
    assert_eq!(listed(&refused(&[5000, 20, 20])), ["field_1", "field_2"]);
}

#[test]
fn the_name_of_an_rpc_that_does_not_exist_is_told_in_part() {
    let name = "Get".repeat(3000);
    let status = Refusal::Unimplemented(String::new()).status(&name, &RequestId::generate(), None);
    let details = status.get_error_details();
    let told = &details.error_info().unwrap().metadata["operation"];
    assert!(name.starts_with(told) && (33..=64).contains(&told.len()), "{told}");
    is_sound(&status.into_http::<()>().into_parts().0.headers, &details).unwrap();
}

#[test]
fn codes_of_oci_become_reasons_or_give_way_to_the_http_status() {
    let long = format!("A{}", "b".repeat(62));
    let too_long = format!("A{}", "b".repeat(63));
    let cases = [
        ("NotAuthorizedOrNotFound", "NOT_AUTHORIZED_OR_NOT_FOUND"),
        ("InvalidParameter", "INVALID_PARAMETER"),
        ("IAMError", "IAMERROR"),
        ("Http2Error", "HTTP2_ERROR"),
        ("Abc", "ABC"),
        ("Ab", "HTTP_409"),
        ("", "HTTP_409"),
        ("notFound", "HTTP_409"),
        ("4Error", "HTTP_409"),
        ("Not Found", "HTTP_409"),
        ("Not_Found", "HTTP_409"),
        ("Überlauf", "HTTP_409"),
        (&long, &long.to_uppercase()),
        (&too_long, "HTTP_409"),
    ];
    for (code, reason) in cases {
        let cause = Cause::Service(Service {
            status: StatusCode::CONFLICT,
            code: Some(code.to_owned()),
            message: String::new(),
            is_broken: false,
            retry_after: None,
        });
        let error = oci::Error {
            cause: cause.into(),
            operation: "CreateVolumeBackup",
            subject: Ocid::parse("ocid1.volume.oc1.iad.a").unwrap(),
            region: "us-ashburn-1".into(),
            elsewhere: None,
            attempts: 1,
            outcome: Some(Outcome::NotStarted),
            opc_request_id: "x".into(),
            retry_token: None,
        };
        assert_eq!(status::of(&error).get_error_details().error_info().unwrap().reason, reason, "{code:?}");
    }
}

/// The rows of the table below a heading of README.md, by their columns.
fn readme(heading: &str) -> Vec<Vec<&'static str>> {
    let text = include_str!("../../../README.md");
    let (_before, rest) = text.split_once(heading).unwrap();
    let rows = rest.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect()
}

fn counted(domain: &str) -> BTreeSet<&'static str> {
    status::failures().filter(|failure| failure.domain == domain).map(|failure| failure.reason).collect()
}

#[test]
fn the_gateways_reasons_are_those_that_the_readme_closes() {
    let rows = readme("### What the gateway decided");
    let named = rows.iter().map(|row| row[3].trim_matches('`')).chain(["CANCELLED", "DEADLINE_TOO_SHORT"]);
    assert_eq!(counted("oci-backup-gateway"), named.collect());
}

#[test]
fn ocis_statuses_are_counted_as_the_readme_names_them() {
    let rows = readme("### What OCI answered");
    let words = rows.iter().flat_map(|row| row[1].split(|letter: char| !letter.is_ascii_alphanumeric()));
    let statuses =
        words.filter_map(|word| word.parse().ok()).filter(|status| (400_u16..600).contains(status));
    let named: BTreeSet<_> = statuses.map(|status| format!("HTTP_{status}")).collect();
    let more = ["HTTP_404_NOT_FOUND", "_OTHER"];
    assert_eq!(counted("oci.oraclecloud.com"), named.iter().map(String::as_str).chain(more).collect());
}
