//! The gateway in front of an OCI that answers what it is told, and remembers what it was asked.
//!
//! Everything is new in each run, but the key: a run depends on nothing but its bytes.

#![expect(clippy::disallowed_types, reason = "callers read statuses; the ban is for who makes them")]

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::Pkcs8V1Der;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::rsa::KeySize;
use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;
use oci_backup_gateway::clock::Clock;
use oci_backup_gateway::credentials::Credentials;
use oci_backup_gateway::credentials::StaticCredentials;
use oci_backup_gateway::oci;
use oci_backup_gateway::oci::endpoint::Endpoint;
use oci_backup_gateway::region::Regions;
use oci_backup_gateway::region::Sources;
use oci_backup_gateway::rpc::Gateway;
use oci_backup_gateway::signature::PrivateKey;
use oci_backup_gateway::transport::BoxFuture;
use oci_backup_gateway::transport::Error;
use oci_backup_gateway::transport::HttpService;
use oci_backup_gateway::transport::Limits;
use oci_backup_gateway::transport::Response;
use oci_backup_gateway::transport::breaker;
use oci_backup_gateway::transport::retry;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::time::Duration;
use tonic::Status;
use tonic_types::StatusExt;

/// The volume that answers are about, unless the bytes say another.
pub const VOLUME: &str = "ocid1.volume.oc1.iad.fuzz";
/// The same for boot volumes.
pub const BOOT_VOLUME: &str = "ocid1.bootvolume.oc1.iad.fuzz";
/// Where OCI is.
pub const ENDPOINT: &str = "https://iaas.us-ashburn-1.oraclecloud.com";

/// Signing with the shortest key that OCI takes is most of what a run costs.
static CREDENTIALS: LazyLock<StaticCredentials> = LazyLock::new(|| {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let key = PrivateKey::from_pkcs8(der.as_ref()).unwrap();
    StaticCredentials::new(Credentials::new("tenancy/user/fingerprint".to_owned(), key, None))
});

/// What OCI answers.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// 200 with a body.
    pub fn of(body: &[u8]) -> Self {
        Self { body: Bytes::copy_from_slice(body), ..Self::default() }
    }

    /// Reads `<status>`, lines of headers, an empty line and a body. What is no header is left out; what is no
    /// status is 500.
    pub fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap_or(bytes.len());
        let (head, body) = bytes.split_at(end);
        let mut lines = head.splitn(2, |byte| *byte == b'\n');
        let status = lines.next().and_then(|line| StatusCode::from_bytes(line).ok());
        Self {
            status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: headers(lines.next().unwrap_or_default()),
            body: Bytes::copy_from_slice(body.get(2..).unwrap_or_default()),
        }
    }
}

/// Lines of headers, as far as they are some.
pub fn headers(lines: &[u8]) -> HeaderMap {
    let header = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
    };
    lines.split(|byte| *byte == b'\n').filter_map(header).collect()
}

/// Answers every request alike.
struct Told {
    answer: Answer,
    asked: Mutex<Vec<http::Request<Bytes>>>,
}

impl HttpService for Told {
    fn send(&self, request: http::Request<Bytes>, _limits: Limits) -> BoxFuture<'_, Result<Response, Error>> {
        self.asked.lock().unwrap().push(request);
        let Answer { status, headers, body } = self.answer.clone();
        let mut response = Response::new(Ok(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Box::pin(std::future::ready(Ok(response)))
    }
}

/// Lets `call` call the gateway before an OCI that gives `answer`. Returns what it was told and what OCI was asked.
pub fn ask<T>(answer: Answer, call: impl AsyncFnOnce(Gateway) -> T) -> (T, Vec<http::Request<Bytes>>) {
    let told = Arc::new(Told { answer, asked: Mutex::default() });
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let ended = runtime.block_on(async { call(gateway(Arc::clone(&told))).await });
    drop(runtime);
    let asked = std::mem::take(&mut *told.asked.lock().unwrap());
    (ended, asked)
}

/// One attempt: pauses for a state are nearly always longer than the caller's deadline.
fn gateway(http: Arc<Told>) -> Gateway {
    let pause = Duration::from_secs(3600);
    let config = oci::Config {
        retry: retry::Config {
            attempts: 1,
            pause_for_state: pause,
            longest_pause: pause,
            breaker: breaker::Config { attempts: u32::MAX, ..breaker::Config::default() },
            ..retry::Config::default()
        },
        ..oci::Config::new(
            oci::Place::known(Endpoint::parse(ENDPOINT).unwrap(), "us-ashburn-1"),
            Duration::from_secs(10),
            Regions::new(Sources::default()),
        )
    };
    let credentials = Arc::new(CREDENTIALS.clone());
    Gateway::new(oci::Client::new(config, http, credentials, Clock::system(), oci::Mutations::new()))
}

/// What every status keeps: its size, its details, and whose move it is. Returns its outcome.
pub fn check(status: &Status) -> String {
    let mut headers = HeaderMap::new();
    status.add_header(&mut headers).unwrap();
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    assert!(size <= 4096, "{size} bytes: {status:?}");
    for key in ["opc-request-id", "grpc-retry-pushback-ms"] {
        assert!(status.metadata().contains_key(key), "no {key}: {status:?}");
    }
    let details = status.get_error_details();
    let info = details.error_info().expect("every status has ErrorInfo");
    let reason = info.reason.as_bytes();
    let fits = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    assert!((3..=63).contains(&reason.len()) && reason.iter().all(fits), "AIP-193: {}", info.reason);
    info.metadata.get("outcome").expect("a create has an outcome").clone()
}
