//! Calls as JSON lines, for the tests that drive this client: `tests/clients/README.md` of the gateway.
//!
//! Leave it out of what you copy.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backup_client::client::{BackupClient, Options};
use backup_client::explain::{Decision, Failure, explain, name_of};
use backup_client::pb::{CreateBootVolumeBackupRequest, CreateVolumeBackupRequest};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, KeyAndValueRef, MetadataMap};
use tonic::{Code, Response, Status};

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// One line after the other, until there is none.
pub async fn run(client: BackupClient) -> Result<(), String> {
    let client = &client.without_retry_tokens();
    let json = Json(DescriptorPool::decode(DESCRIPTORS).map_err(|error| error.to_string())?);
    // Nothing else is done in the meantime: this may block.
    for (number, line) in io::stdin().lines().enumerate() {
        let line = line.map_err(|error| error.to_string())?;
        let work =
            json.understand(&line).map_err(|error| format!("line {} is no call: {error}", number + 1))?;
        let told = match work {
            Work::One(call) => call.answer(client, &json).await,
            Work::Many(calls) => Value::Array(at_once(calls, client, &json).await),
            Work::Load(load) => load.run(client).await,
        };
        writeln!(io::stdout(), "{told}").map_err(|error| error.to_string())?;
    }
    Ok(())
}

enum Work {
    One(Box<Call>),
    Many(Vec<Call>),
    Load(Load),
}

/// protobuf's JSON, which prost does not know: by way of messages that carry their descriptors along.
#[derive(Clone)]
struct Json(DescriptorPool);

impl Json {
    fn understand(&self, line: &str) -> Result<Work, String> {
        let line: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if let Some(load) = line.get("load") {
            let load = Load::deserialize(load).map_err(|error| error.to_string())?;
            if load.calls.is_some() == load.for_ms.is_some() {
                return Err("a load has either calls or forMs".to_owned());
            }
            return Ok(Work::Load(load));
        }
        match line {
            Value::Array(calls) => {
                calls.into_iter().map(|one| self.call(one)).collect::<Result<_, _>>().map(Work::Many)
            }
            one => Ok(Work::One(Box::new(self.call(one)?))),
        }
    }

    fn call(&self, line: Value) -> Result<Call, String> {
        let line: CallLine = serde_json::from_value(line).map_err(|error| error.to_string())?;
        let request = match line.rpc {
            Rpc::CreateVolumeBackup => Create::Volume(self.read("CreateVolumeBackupRequest", line.request)?),
            Rpc::CreateBootVolumeBackup => {
                Create::BootVolume(self.read("CreateBootVolumeBackupRequest", line.request)?)
            }
        };
        let mut metadata = MetadataMap::new();
        for (key, value) in &line.metadata {
            let key: AsciiMetadataKey = key.parse().map_err(|_| format!("{key:?} is no key of metadata"))?;
            let value: AsciiMetadataValue = value.parse().map_err(|_| format!("{value:?} is no metadata"))?;
            metadata.insert(key, value);
        }
        let timeout = Duration::from_millis(line.timeout_ms);
        let cancel_after = line.cancel_after_ms.map(Duration::from_millis);
        Ok(Call { request, options: Options { timeout, metadata }, cancel_after })
    }

    fn read<M: Message + Default>(&self, name: &str, json: Value) -> Result<M, String> {
        let descriptor =
            self.0.get_message_by_name(&format!("ocibackup.v1.{name}")).ok_or("no such message")?;
        let message = DynamicMessage::deserialize(descriptor, json).map_err(|error| error.to_string())?;
        message.transcode_to().map_err(|error| error.to_string())
    }

    fn write<M: Message>(&self, name: &str, message: &M) -> Result<Value, String> {
        let descriptor =
            self.0.get_message_by_name(&format!("ocibackup.v1.{name}")).ok_or("no such message")?;
        let mut dynamic = DynamicMessage::new(descriptor);
        dynamic.transcode_from(message).map_err(|error| error.to_string())?;
        serde_json::to_value(&dynamic).map_err(|error| error.to_string())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CallLine {
    rpc: Rpc,
    request: Value,
    #[serde(default)]
    metadata: HashMap<String, String>,
    #[serde(default = "half_a_minute")]
    timeout_ms: u64,
    cancel_after_ms: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
enum Rpc {
    CreateVolumeBackup,
    CreateBootVolumeBackup,
}

fn half_a_minute() -> u64 {
    30_000
}

#[derive(Clone)]
struct Call {
    request: Create,
    options: Options,
    cancel_after: Option<Duration>,
}

#[derive(Clone)]
enum Create {
    Volume(CreateVolumeBackupRequest),
    BootVolume(CreateBootVolumeBackupRequest),
}

/// What an answer is made of, whichever create it is of.
struct Made {
    id: String,
    response: Result<Value, String>,
    metadata: MetadataMap,
}

impl Call {
    fn retry_token(&self) -> &str {
        let field = match &self.request {
            Create::Volume(request) => &request.retry_token,
            Create::BootVolume(request) => &request.retry_token,
        };
        let metadata = || self.options.metadata.get("opc-retry-token")?.to_str().ok();
        field.as_deref().filter(|token| !token.is_empty()).or_else(metadata).unwrap_or_default()
    }

    async fn create(&self, client: &BackupClient, json: Option<&Json>) -> Result<Made, Status> {
        let options = self.options.clone();
        match self.request.clone() {
            Create::Volume(request) => {
                let made = client.create_volume_backup(request, options).await?;
                Ok(Made::of(made, json, "CreateVolumeBackupResponse", |made| {
                    made.volume_backup.as_ref().map(|backup| &backup.id)
                }))
            }
            Create::BootVolume(request) => {
                let made = client.create_boot_volume_backup(request, options).await?;
                Ok(Made::of(made, json, "CreateBootVolumeBackupResponse", |made| {
                    made.boot_volume_backup.as_ref().map(|backup| &backup.id)
                }))
            }
        }
    }

    async fn answer(&self, client: &BackupClient, json: &Json) -> Value {
        let begun = Instant::now();
        let made = match self.cancel_after {
            None => self.create(client, Some(json)).await,
            // Who drops a call cancels it.
            Some(after) => tokio::time::timeout(after, self.create(client, Some(json)))
                .await
                .unwrap_or_else(|_| Err(Status::cancelled("cancelled by the caller"))),
        };
        let took = begun.elapsed();
        let mut told = match made {
            Ok(made) => match made.response {
                Ok(response) => {
                    json!({ "code": "OK", "response": response, "metadata": ours(&made.metadata) })
                }
                Err(error) => json!({ "code": "INTERNAL", "message": error }),
            },
            Err(status) => json!(Failed::of(&status, &explain(&status, self.retry_token()))),
        };
        told["tookMs"] = json!(took.as_millis());
        told
    }
}

impl Made {
    fn of<M: Message>(
        made: Response<M>,
        json: Option<&Json>,
        name: &str,
        id: impl Fn(&M) -> Option<&String>,
    ) -> Made {
        let (metadata, message, _) = made.into_parts();
        let response = json.map_or(Ok(Value::Null), |json| json.write(name, &message));
        Made { id: id(&message).cloned().unwrap_or_default(), response, metadata }
    }
}

async fn at_once(calls: Vec<Call>, client: &BackupClient, json: &Json) -> Vec<Value> {
    let mut running = Vec::new();
    for call in calls {
        let (client, json) = (client.clone(), json.clone());
        running.push(tokio::spawn(async move { call.answer(&client, &json).await }));
    }
    let mut answers = Vec::new();
    for one in running {
        answers.push(
            one.await.unwrap_or_else(|error| json!({ "code": "INTERNAL", "message": error.to_string() })),
        );
    }
    answers
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed<'a> {
    code: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_metadata: Option<&'a HashMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    quota_violations: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pushback_ms: Option<i64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    decision: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_after_ms: Option<u128>,
    words: &'a str,
}

impl<'a> Failed<'a> {
    fn of(status: &'a Status, failure: &'a Failure) -> Failed<'a> {
        let details = &failure.details;
        let info = details.error_info();
        let wrong = details.bad_request().map_or(&[][..], |wrong| &wrong.field_violations);
        let quota = details.quota_failure().map_or(&[][..], |quota| &quota.violations);
        let resource = details.resource_info();
        let (decision, repeat_after) = match failure.decision {
            Decision::Repeat { after } => ("REPEAT", Some(after.as_millis())),
            Decision::Stop => ("STOP", None),
        };
        Failed {
            code: failure.code,
            message: status.message(),
            domain: info.map(|info| info.domain.as_str()),
            reason: info.map(|info| info.reason.as_str()),
            error_metadata: info.map(|info| &info.metadata),
            request_id: details.request_info().map(|info| info.request_id.as_str()),
            violations: wrong
                .iter()
                .map(|one| json!({ "field": one.field, "description": one.description }))
                .collect(),
            quota_violations: quota
                .iter()
                .map(|one| json!({ "subject": one.subject, "description": one.description }))
                .collect(),
            resource: resource
                .map(|one| json!({ "resourceType": one.resource_type, "resourceName": one.resource_name })),
            retry_after_ms: details.retry_info().map(|info| info.retry_delay.unwrap_or_default().as_millis()),
            pushback_ms: status
                .metadata()
                .get("grpc-retry-pushback-ms")
                .and_then(|value| value.to_str().ok()?.parse().ok()),
            metadata: ours(status.metadata()),
            decision,
            repeat_after_ms: repeat_after,
            words: &failure.words,
        }
    }
}

fn ours(metadata: &MetadataMap) -> BTreeMap<String, String> {
    let text = |pair| match pair {
        KeyAndValueRef::Ascii(key, value) => Some((key.to_string(), value.to_str().ok()?.to_owned())),
        KeyAndValueRef::Binary(..) => None,
    };
    metadata.iter().filter_map(text).filter(|(key, _)| key == "etag" || key.starts_with("opc-")).collect()
}

/// Many calls, each with a volume and a token of its own.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Load {
    rpc: Rpc,
    prefix: String,
    at_once: usize,
    calls: Option<u64>,
    for_ms: Option<u64>,
    #[serde(default = "half_a_minute")]
    timeout_ms: u64,
}

/// A call of a load: how long it took, and the backup's id, or what failed.
struct Done {
    took: Duration,
    result: Result<String, (Code, String)>,
}

impl Load {
    async fn run(self, client: &BackupClient) -> Value {
        let begun = Instant::now();
        let next = Arc::new(AtomicU64::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..self.at_once {
            let (load, client, next) = (self.clone(), client.clone(), Arc::clone(&next));
            workers.spawn(async move { load.one_after_another(&client, &next, begun).await });
        }
        let done: Vec<Done> = workers.join_all().await.into_iter().flatten().collect();
        let seconds = begun.elapsed().as_secs_f64();

        let mut codes = BTreeMap::new();
        let mut backups = HashSet::new();
        let mut first_failure = None;
        for one in &done {
            let code = match &one.result {
                Ok(id) => {
                    backups.insert(id);
                    Code::Ok
                }
                Err((code, words)) => {
                    first_failure.get_or_insert(words);
                    *code
                }
            };
            *codes.entry(name_of(code)).or_insert(0) += 1;
        }
        let mut took: Vec<_> = done.iter().map(|one| one.took).collect();
        took.sort_unstable();
        let median = took.get(took.len() / 2).copied().unwrap_or_default();
        let mut told = json!({
            "calls": done.len(),
            "codes": codes,
            "seconds": rounded(seconds, 1_000.0),
            "medianMs": rounded(median.as_secs_f64() * 1_000.0, 100.0),
            "backups": backups.len(),
        });
        if let Some(words) = first_failure {
            told["firstFailure"] = json!(words);
        }
        told
    }

    async fn one_after_another(self, client: &BackupClient, next: &AtomicU64, begun: Instant) -> Vec<Done> {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let enough = self.calls.is_some_and(|calls| number >= calls);
            let late = self.for_ms.is_some_and(|most| begun.elapsed() >= Duration::from_millis(most));
            if enough || late {
                return done;
            }
            let call = self.call(number);
            let begun = Instant::now();
            let result = call.create(client, None).await.map(|made| made.id).map_err(|status| {
                let failure = explain(&status, call.retry_token());
                (status.code(), failure.words)
            });
            done.push(Done { took: begun.elapsed(), result });
        }
    }

    fn call(&self, number: u64) -> Call {
        let retry_token = Some(format!("{}-{number}", self.prefix));
        let request = match self.rpc {
            Rpc::CreateVolumeBackup => Create::Volume(CreateVolumeBackupRequest {
                volume_id: format!("ocid1.volume.oc1.iad.{}{number}", self.prefix),
                retry_token,
                ..Default::default()
            }),
            Rpc::CreateBootVolumeBackup => Create::BootVolume(CreateBootVolumeBackupRequest {
                boot_volume_id: format!("ocid1.bootvolume.oc1.iad.{}{number}", self.prefix),
                retry_token,
                ..Default::default()
            }),
        };
        let timeout = Duration::from_millis(self.timeout_ms);
        Call { request, options: Options { timeout, ..Options::default() }, cancel_after: None }
    }
}

fn rounded(number: f64, digits: f64) -> f64 {
    (number * digits).round() / digits
}
