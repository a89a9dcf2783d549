//! What happened: every request that was read and every change that was made, in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::request::RawRequest;

/// Everything so far. `GET /sandbox/ledger` answers this as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Connections to the OCI face.
    pub connections: Connections,
    /// Requests in the order in which they were read.
    pub attempts: Vec<Attempt>,
    /// Changes in the order in which they were made.
    pub commits: Vec<CommitEntry>,
    /// How many backups were made under each retry token: one, when all is well.
    pub commits_per_token: BTreeMap<String, u64>,
}

/// What became of connections before their first request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// All that were accepted.
    pub accepted: u64,
    /// Those that a fault ended before anything was read.
    pub cut: u64,
}

/// One request that was read whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its place, from 0.
    pub seq: u64,
    /// When it had been read, by the sandbox's clock: RFC 3339 with milliseconds.
    pub time: String,
    /// Its method.
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// What was answered; absent while it is in flight and when nothing was.
    pub status: Option<u16>,
    /// How the connection was cut or the answer mutilated, when it was.
    pub cut: Option<String>,
    /// `opc-retry-token`.
    pub retry_token: Option<String>,
    /// `opc-request-id` as sent.
    pub opc_request_id: Option<String>,
    /// `date` (or `x-date`) as sent.
    pub date: Option<String>,
    /// Why the signature was refused; absent when it was accepted.
    pub refusal: Option<String>,
    /// SHA-256 of the body, hex.
    pub body_sha256: String,
    /// The fault that was applied, in short.
    pub fault: Option<String>,
}

/// One change that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitEntry {
    /// Its place, from 0.
    pub seq: u64,
    /// When it was made, by the sandbox's clock: RFC 3339 with milliseconds.
    pub time: String,
    /// The attempt that made it.
    pub attempt: u64,
    /// `create`, `update` or `delete`.
    pub operation: String,
    /// The retry token of a create.
    pub token: Option<String>,
    /// The collection: `volumeBackups`, `bootVolumeBackups`.
    pub resource: String,
    /// The backup.
    pub id: String,
    /// What it is a backup of.
    pub volume_id: String,
    /// SHA-256 of the request's body, hex.
    pub body_sha256: String,
}

/// The book as it is kept: hashes as bytes, and what all entries share only once.
#[derive(Default)]
pub(super) struct Book(Mutex<Pages>);

#[derive(Default)]
struct Pages {
    connections: Connections,
    attempts: Vec<Line>,
    commits: Vec<Change>,
}

struct Line {
    time: SystemTime,
    method: http::Method,
    path: Box<str>,
    status: Option<u16>,
    cut: Option<&'static str>,
    retry_token: Option<Box<str>>,
    opc_request_id: Option<Box<str>>,
    date: Option<Box<str>>,
    refusal: Option<Box<str>>,
    body_sha256: [u8; 32],
    fault: Option<Arc<str>>,
}

/// A change, as the store reports it.
pub(super) struct Change {
    pub(super) time: SystemTime,
    pub(super) attempt: u64,
    pub(super) operation: &'static str,
    pub(super) token: Option<Box<str>>,
    pub(super) resource: &'static str,
    pub(super) id: Arc<str>,
    pub(super) volume_id: Box<str>,
    pub(super) body_sha256: [u8; 32],
}

impl Book {
    pub(super) fn connected(&self) {
        self.pages().connections.accepted += 1;
    }

    pub(super) fn cut_at_accept(&self) {
        self.pages().connections.cut += 1;
    }

    /// Opens the line of a request; what it returns names the line.
    pub(super) fn open(&self, request: &RawRequest, time: SystemTime) -> u64 {
        let text = |name: &str| request.text(name).map(Box::from);
        let line = Line {
            time,
            method: request.method.clone(),
            path: request.target.as_str().into(),
            status: None,
            cut: None,
            retry_token: text("opc-retry-token"),
            opc_request_id: text("opc-request-id"),
            date: text("date").or_else(|| text("x-date")),
            refusal: None,
            body_sha256: request.body_sha256,
            fault: None,
        };
        let mut pages = self.pages();
        pages.attempts.push(line);
        count(pages.attempts.len()) - 1
    }

    pub(super) fn refused(&self, attempt: u64, why: String) {
        self.edit(attempt, |line| line.refusal = Some(why.into()));
    }

    pub(super) fn faulted(&self, attempt: u64, fault: Arc<str>) {
        self.edit(attempt, |line| line.fault = Some(fault));
    }

    pub(super) fn answered(&self, attempt: u64, status: u16) {
        self.edit(attempt, |line| line.status = Some(status));
    }

    pub(super) fn cut(&self, attempt: u64, how: &'static str) {
        self.edit(attempt, |line| line.cut = Some(how));
    }

    pub(super) fn commit(&self, change: Change) {
        self.pages().commits.push(change);
    }

    pub(super) fn read(&self) -> Ledger {
        let pages = self.pages();
        let mut commits_per_token = BTreeMap::new();
        for token in pages.commits.iter().filter_map(|change| change.token.as_deref()) {
            *commits_per_token.entry(token.to_owned()).or_default() += 1;
        }
        Ledger {
            connections: pages.connections.clone(),
            attempts: (0..).zip(&pages.attempts).map(|(seq, line)| line.read(seq)).collect(),
            commits: (0..).zip(&pages.commits).map(|(seq, change)| change.read(seq)).collect(),
            commits_per_token,
        }
    }

    /// Requests that were neither answered nor cut so far.
    pub(super) fn in_flight(&self) -> usize {
        let open = |line: &&Line| line.status.is_none() && line.cut.is_none();
        self.pages().attempts.iter().filter(open).count()
    }

    fn edit(&self, attempt: u64, change: impl FnOnce(&mut Line)) {
        let mut pages = self.pages();
        if let Some(line) = usize::try_from(attempt).ok().and_then(|at| pages.attempts.get_mut(at)) {
            change(line);
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn read(&self, seq: u64) -> Attempt {
        let owned = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        Attempt {
            seq,
            time: super::backup::rfc3339(self.time),
            method: self.method.to_string(),
            path: self.path.to_string(),
            status: self.status,
            cut: self.cut.map(str::to_owned),
            retry_token: owned(&self.retry_token),
            opc_request_id: owned(&self.opc_request_id),
            date: owned(&self.date),
            refusal: owned(&self.refusal),
            body_sha256: hex(&self.body_sha256),
            fault: self.fault.as_deref().map(str::to_owned),
        }
    }
}

impl Change {
    fn read(&self, seq: u64) -> CommitEntry {
        CommitEntry {
            seq,
            time: super::backup::rfc3339(self.time),
            attempt: self.attempt,
            operation: self.operation.to_owned(),
            token: self.token.as_deref().map(str::to_owned),
            resource: self.resource.to_owned(),
            id: self.id.to_string(),
            volume_id: self.volume_id.to_string(),
            body_sha256: hex(&self.body_sha256),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
