//! What can go wrong on request: the words of `POST /sandbox/faults`, and the same in Rust.
//!
//! A fault's parts follow the life of a request, and any of them may be combined: whether the operation is
//! carried out ([`Commit`]), a pause ([`Stall`]), another answer ([`AnswerChange`]), and what happens on
//! the wire ([`Wire`]). It applies to requests whose signature was accepted; only the cut point and the
//! stall point `accept` come before anything is read.
//!
//! ```json
//! {"method": "POST", "path": "/20160918/volumeBackups", "skip": 1, "times": 3,
//!  "fault": {"answer": {"status": 429, "headers": {"retry-after": "1"}}}}
//! {"fault": {"commit": "before", "answer": {"status": 500}}}
//! {"retry_token": "t", "fault": {"wire": {"reset": {"at": "after_commit"}}}}
//! {"times": "forever", "fault": {"stall": {"at": "before_commit", "ms": 2000}}}
//! {"fault": {"answer": {"patch": {"lifecycleState": "NEW_STATE"}, "remove": ["id"]}}}
//! {"fault": {"wire": {"truncate": {"framing": "chunked"}}}}
//! {"times": "forever", "chance": {"percent": 20, "seed": 7}, "fault": {"wire": {"reset": {"at": "accept"}}}}
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which requests a fault is for, and how often. Rules are asked in the order in which they were added;
/// the first that fits and is not used up applies, alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// Only this method, in upper case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Only this path, without query: one collection or one resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Only paths that start so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// Only this `opc-retry-token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_token: Option<String>,
    /// So many fitting requests pass the rule by before it applies.
    #[serde(default)]
    pub skip: u64,
    /// Only a share of the fitting requests; the others pass the rule by. Left out: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<Chance>,
    /// So often it applies: a number, or `null` or `"forever"`. Left out: once.
    #[serde(default)]
    pub times: Times,
    /// What happens.
    pub fault: Fault,
}

/// A share of requests, picked at random but so that a run can be repeated: whether the n-th request with a
/// retry token is among them depends on the seed, the token and n alone, and not on what else happens at that
/// time. Rules with one seed pick the same requests. Connections are picked in the order of their arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chance {
    /// How many of a hundred.
    pub percent: u8,
    /// Which.
    pub seed: u64,
}

/// How often a rule applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Option<u64>", try_from = "Option<CountOrWord>")]
pub enum Times {
    /// So many times.
    Count(u64),
    /// Until the rules are cleared.
    Forever,
}

impl Default for Times {
    fn default() -> Times {
        Times::Count(1)
    }
}

impl From<Times> for Option<u64> {
    fn from(times: Times) -> Option<u64> {
        match times {
            Times::Count(count) => Some(count),
            Times::Forever => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "times must be a number, null or \"forever\"")]
enum CountOrWord {
    Count(u64),
    Word(String),
}

impl TryFrom<Option<CountOrWord>> for Times {
    type Error = &'static str;

    fn try_from(form: Option<CountOrWord>) -> Result<Times, &'static str> {
        match form {
            None => Ok(Times::Forever),
            Some(CountOrWord::Count(count)) => Ok(Times::Count(count)),
            Some(CountOrWord::Word(word)) if word == "forever" => Ok(Times::Forever),
            Some(CountOrWord::Word(_)) => Err("times must be a number, null or \"forever\""),
        }
    }
}

/// What happens to one request. Left out altogether, nothing does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Whether the operation is carried out. Left out: it is, unless the answer is given a status of 300
    /// or more or the connection is cut before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// A pause, after which things go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall: Option<Stall>,
    /// What is answered instead of, or beside, the right answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerChange>,
    /// What happens to the answer, or to the connection, on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<Wire>,
}

/// Whether an operation is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Commit {
    /// Before the fault.
    Before,
    /// Not at all.
    Never,
}

/// A pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stall {
    /// Where.
    pub at: StallPoint,
    /// How long, in milliseconds.
    pub ms: u64,
}

/// Where a pause can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StallPoint {
    /// After the connection was accepted, before anything is read and before TLS.
    Accept,
    /// After the request was accepted, before it is carried out: its retry token is in flight.
    BeforeCommit,
    /// After it was carried out, before the answer.
    AfterCommit,
}

/// Another answer. Without `status`, `code`, `body` and their like, the right answer stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerChange {
    /// The status. From 300 on, and for 204, the right answer's body goes; from 400 on OCI's error JSON
    /// takes its place unless `body` says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The error's code. Left out: the status's name, as in `ServiceUnavailable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The error's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// A body, as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// A body that is no text, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// The body's type, when it is not `application/json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Fields to write into the right answer's JSON, objects field by field. As in RFC 7396, but `null` is
    /// written as `null`: a resource with an empty field must be expressible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Value>,
    /// Fields to take out of the right answer's JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Headers to set, or with `null` to take away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, HeaderChange>,
}

/// What becomes of a response header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HeaderChange {
    /// It has this value.
    Set(String),
    /// It is there once for each of these.
    SetAll(Vec<String>),
    /// It is not there.
    Remove(()),
}

/// What happens on the wire. All of these end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Wire {
    /// The connection is reset (RST).
    Reset {
        /// When.
        at: CutPoint,
    },
    /// The connection is closed in order (FIN), without an answer or in its midst.
    HangUp {
        /// When.
        at: CutPoint,
    },
    /// Half of the body is sent, then the connection is closed in order.
    Truncate {
        /// How the length was announced.
        framing: Framing,
    },
    /// One part of the answer is sent a byte at a time.
    Slow {
        /// Which part.
        part: Part,
        /// The milliseconds before each byte.
        ms: u64,
    },
    /// The body is followed by spaces up to this length: a reader with patience would find it valid.
    GiantBody {
        /// The whole length.
        bytes: u64,
    },
    /// The answer comes after this many `100 Continue`.
    Interim {
        /// How many.
        count: u32,
    },
    /// The answer has this many more headers of this size each.
    BulkyHead {
        /// How many.
        headers: u32,
        /// How large their values are.
        bytes: u32,
    },
    /// The answer has two `content-length` that differ.
    TwoLengths {},
}

/// Where a connection can be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutPoint {
    /// As soon as it is accepted: nothing is read, so the rule cannot say which requests.
    Accept,
    /// After a request was read, before it is carried out.
    BeforeCommit,
    /// After it was carried out, before a byte of the answer.
    AfterCommit,
    /// After half of the answer's body.
    MidAnswer,
    /// After the whole answer, which promised to keep the connection.
    AfterAnswer,
}

/// How a response announces its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// `content-length`.
    ContentLength,
    /// `transfer-encoding: chunked`, cut in the midst of a chunk.
    Chunked,
    /// By the end of the connection: the cut cannot be told from the end.
    Close,
}

/// A part of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Status line and headers.
    Head,
    /// The body.
    Body,
}

impl FaultRule {
    /// The fault, once, for the first request whatever it is.
    pub fn new(fault: Fault) -> FaultRule {
        FaultRule { fault, ..FaultRule::default() }
    }

    /// Only for this method.
    pub fn method(mut self, method: &str) -> FaultRule {
        self.method = Some(method.to_owned());
        self
    }

    /// Only for this path.
    pub fn path(mut self, path: &str) -> FaultRule {
        self.path = Some(path.to_owned());
        self
    }

    /// Only for paths that start so.
    pub fn path_prefix(mut self, prefix: &str) -> FaultRule {
        self.path_prefix = Some(prefix.to_owned());
        self
    }

    /// Only for this retry token.
    pub fn retry_token(mut self, token: &str) -> FaultRule {
        self.retry_token = Some(token.to_owned());
        self
    }

    /// Not for the first so many.
    pub fn skip(mut self, skip: u64) -> FaultRule {
        self.skip = skip;
        self
    }

    /// Only so many of a hundred, picked by this seed.
    pub fn chance(mut self, percent: u8, seed: u64) -> FaultRule {
        self.chance = Some(Chance { percent, seed });
        self
    }

    /// So many times.
    pub fn times(mut self, times: u64) -> FaultRule {
        self.times = Times::Count(times);
        self
    }

    /// Until the rules are cleared.
    pub fn forever(mut self) -> FaultRule {
        self.times = Times::Forever;
        self
    }
}

impl Fault {
    /// An error of OCI's instead of carrying the operation out.
    pub fn status(status: u16, code: &str, message: &str) -> Fault {
        let (code, message) = (Some(code.to_owned()), Some(message.to_owned()));
        Fault::answer(AnswerChange { status: Some(status), code, message, ..AnswerChange::default() })
    }

    /// 200 with this body after carrying the operation out.
    pub fn body(content_type: &str, body: &str) -> Fault {
        let (content_type, body) = (Some(content_type.to_owned()), Some(body.to_owned()));
        Fault::answer(AnswerChange { status: Some(200), content_type, body, ..AnswerChange::default() })
    }

    /// The right answer with these fields written into it.
    pub fn patch(patch: Value) -> Fault {
        Fault::answer(AnswerChange { patch: Some(patch), ..AnswerChange::default() })
    }

    /// Any other change of the answer.
    pub fn answer(answer: AnswerChange) -> Fault {
        Fault { answer: Some(answer), ..Fault::default() }
    }

    /// A reset.
    pub fn reset(at: CutPoint) -> Fault {
        Fault::wire(Wire::Reset { at })
    }

    /// An orderly end of the connection where none is due.
    pub fn hang_up(at: CutPoint) -> Fault {
        Fault::wire(Wire::HangUp { at })
    }

    /// Any other trouble on the wire.
    pub fn wire(wire: Wire) -> Fault {
        Fault { wire: Some(wire), ..Fault::default() }
    }

    /// A pause.
    pub fn stall(at: StallPoint, pause: Duration) -> Fault {
        Fault::default().stalled(at, pause)
    }

    /// And a pause.
    pub fn stalled(mut self, at: StallPoint, pause: Duration) -> Fault {
        self.stall = Some(Stall { at, ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX) });
        self
    }

    /// And the operation is carried out all the same.
    pub fn committed(mut self) -> Fault {
        self.commit = Some(Commit::Before);
        self
    }

    /// And the operation is not carried out.
    pub fn uncommitted(mut self) -> Fault {
        self.commit = Some(Commit::Never);
        self
    }

    /// And the answer has this header.
    pub fn header(mut self, name: &str, value: &str) -> Fault {
        let headers = &mut self.answer.get_or_insert_default().headers;
        headers.insert(name.to_owned(), HeaderChange::Set(value.to_owned()));
        self
    }
}
