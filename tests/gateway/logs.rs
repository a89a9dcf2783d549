//! One line per call: who called what, how it ended, and by which names it is known elsewhere.

use crate::frames;
use crate::frames::Peer;
use crate::raw;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use oci_backup_gateway::oci::Sharing;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::StallPoint;
use oci_backup_gateway::telemetry;
use oci_backup_gateway::telemetry::Format;
use prost::Message;
use serde_json::Value;
use serde_json::json;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;
use tonic::Code;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Where all tests of this binary log to. Subscribers of single threads are no good beside each other: whether
/// a line is wanted is remembered for all threads.
static WRITTEN: LazyLock<Written> = LazyLock::new(|| {
    let written = Written::default();
    tracing::subscriber::set_global_default(subscriber(Format::Json, &written)).unwrap();
    written
});

fn subscriber(format: Format, written: &Written) -> Box<dyn tracing::Subscriber + Send + Sync> {
    let writer = written.clone();
    telemetry::subscriber(format, "info", move || writer.clone()).unwrap()
}

/// From now on, what is logged can be asked for.
pub(crate) fn start() {
    LazyLock::force(&WRITTEN);
}

/// The lines with this message of one call, by its token or its id.
pub(crate) fn lines(message: &str, name: &str) -> Vec<Value> {
    let text = WRITTEN.text();
    let lines = text.lines().filter(|line| line.contains(name));
    let lines = lines.map(|line| serde_json::from_str(line).expect("a line is one JSON object"));
    lines.filter(|line: &Value| line["message"] == message).collect()
}

/// The only such line, once it is there.
async fn line(message: &str, name: &str) -> Value {
    let lines = written(|| Some(lines(message, name)).filter(|lines| !lines.is_empty())).await;
    let [line] = &lines[..] else { panic!("not one line {message:?} of {name}: {lines:?}") };
    line.clone()
}

/// What `look` finds, once it is there: lines are written a little later than answers.
async fn written<T>(look: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Some(found) => return found,
            None if began.elapsed() < Duration::from_secs(5) => {
                tokio::time::sleep(Duration::from_millis(5)).await
            }
            None => panic!("not written within 5 s"),
        }
    }
}

/// A frame with a create, and its token, which is fit for a request id as well.
fn message() -> (Vec<u8>, String) {
    let message = create();
    (raw::frame(&message.encode_to_vec()), message.retry_token.unwrap())
}

#[tokio::test]
async fn a_call_is_one_line_with_all_that_identifies_it() {
    let rig = Rig::start().await;
    let (message, token) = message();
    let answer = raw::call(rig.server.address(), raw::CREATE_VOLUME_BACKUP, &[], message).await;
    assert_eq!(answer.status.code(), Code::Ok);
    let call = line("call", &token).await;
    assert_eq!(call["method"], raw::CREATE_VOLUME_BACKUP.trim_start_matches('/'));
    assert_eq!(call["code"], "OK");
    assert_eq!(call["level"], "INFO");
    assert_eq!(call["opc_retry_token"], token);
    assert_eq!(call["opc_request_id"], answer.headers["opc-request-id"].to_str().unwrap());
    let duration = call["duration_ms"].as_f64().unwrap();
    assert!(duration > 0.0 && duration < 5_000.0, "{duration}");
    let peer: SocketAddr = call["peer"].as_str().unwrap().parse().unwrap();
    assert!(peer.ip().is_loopback() && peer != rig.server.address(), "{peer}");
    assert!(call.get("error").is_none(), "{call}");
}

/// OCI answers with the id of the one request that both share.
#[tokio::test]
async fn who_shares_anothers_exchange_is_found_by_its_own_id_too() {
    let rig = Rig::with(Setup { sharing: Sharing::On, ..Setup::default() }).await;
    rig.break_next(Fault::stall(StallPoint::BeforeCommit, Duration::from_millis(300)));
    let (gateway, (message, first)) = (rig.server.address(), message());
    let second = format!("{first}second");
    let [mine, others] = [&first, &second].map(|id| {
        let (id, message) = (id.clone(), message.clone());
        async move { raw::call(gateway, raw::CREATE_VOLUME_BACKUP, &[("opc-request-id", &id)], message).await }
    });
    tokio::join!(mine, others);
    assert_eq!(rig.creates().len(), 1);
    let named = written(|| Some(lines("call", &first)).filter(|lines| lines.len() == 2)).await;
    let own: Vec<_> = named.iter().filter_map(|line| line.get("own_opc_request_id")).collect();
    assert_eq!(own.len(), 1, "{named:?}");
    assert!(own[0] == &json!(first) || own[0] == &json!(second), "{named:?}");
}

#[tokio::test]
async fn a_call_that_failed_says_how() {
    let rig = Rig::start().await;
    let gateway = rig.server.address();
    let (_message, id) = message();
    let headers = [("opc-request-id", id.as_str()), ("opc-retry-token", "token")];
    raw::call(gateway, raw::CREATE_VOLUME_BACKUP, &headers, raw::frame(&[])).await;
    let call = line("call", &id).await;
    assert_eq!((&call["code"], &call["opc_request_id"]), (&json!("INVALID_ARGUMENT"), &json!(id)));
    assert_eq!(call["opc_retry_token"], "token");
    assert!(call["error"].as_str().unwrap().starts_with("volume_id: "), "{call}");
    let (_message, id) = message();
    raw::call(gateway, "/no.such.Service/Method", &[("opc-request-id", &id)], raw::frame(&[])).await;
    let call = line("call", &id).await;
    assert_eq!((&call["code"], &call["method"]), (&json!("UNIMPLEMENTED"), &json!("no.such.Service/Method")));
}

#[tokio::test]
async fn a_call_is_one_line_of_text_too() {
    let rig = Rig::start().await;
    let written = Written::default();
    let _here = tracing::subscriber::set_default(subscriber(Format::Text, &written));
    let (message, token) = message();
    raw::call(rig.server.address(), raw::CREATE_VOLUME_BACKUP, &[], message).await;
    let text = self::written(|| {
        let text = without_colours(&written.text());
        text.contains(": call ").then_some(text)
    })
    .await;
    let calls: Vec<&str> = text.lines().filter(|line| line.contains(": call ")).collect();
    let [call] = &calls[..] else { panic!("{text}") };
    let method = raw::CREATE_VOLUME_BACKUP.trim_start_matches('/');
    for part in [
        format!("method=\"{method}\""),
        "code=\"OK\"".to_owned(),
        "duration_ms=".to_owned(),
        "opc_request_id=\"".to_owned(),
        format!("opc_retry_token=\"{token}\""),
        "peer=127.0.0.1:".to_owned(),
    ] {
        assert!(call.contains(&part), "no {part} in {call}");
    }
}

/// There are colours when the tests run at a terminal.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or(part, |(_code, rest)| rest))
}

#[tokio::test]
async fn a_call_whose_caller_left_is_logged_and_so_is_what_became_of_its_create() {
    let rig = Rig::start().await;
    let call = rig.stalled(Duration::from_millis(300)).await;
    call.abort();
    let attempt = rig.creates().remove(0);
    let call = line("call", &attempt.opc_request_id.unwrap()).await;
    assert_eq!(call["code"], "CANCELLED", "{call}");
    assert_eq!(call["method"], raw::CREATE_VOLUME_BACKUP.trim_start_matches('/'));
    assert_eq!(call["opc_retry_token"], *attempt.retry_token.as_ref().unwrap(), "the message's");
    assert!(call["peer"].is_string() && call["duration_ms"].is_number(), "{call}");
    let unheard = line("done after the caller had stopped waiting", &attempt.retry_token.unwrap()).await;
    assert_eq!(unheard["made"], rig.sandbox.ledger().commits[0].id, "{unheard}");
}

#[tokio::test]
async fn a_client_that_vanishes_altogether_cuts_off_nothing_and_the_log_says_what_became_of_its_create() {
    let rig = Rig::start().await;
    let gateway = rig.server.address();
    rig.break_next(Fault::stall(StallPoint::BeforeCommit, Duration::from_millis(300)));
    let (message, token) = message();
    let mut peer = Peer::connect(gateway).await;
    peer.send(&frames::call(1, raw::CREATE_VOLUME_BACKUP, &[], 0)).await;
    peer.send(&frames::frame(frames::DATA, frames::END_STREAM, 1, &message)).await;
    while rig.creates().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(peer);
    assert_eq!(line("call", &rig.creates().remove(0).opc_request_id.unwrap()).await["code"], "CANCELLED");
    let unheard = line("done after the caller had stopped waiting", &token).await;
    assert_eq!(unheard["made"], rig.sandbox.ledger().commits[0].id, "{unheard}");
    assert_eq!(rig.sandbox.ledger().commits_per_token[&token], 1);
}
