//! Callers of the gateway.

use crate::Outcome;
use crate::gateway::Gateway;
use crate::upstream::VOLUME;
use oci_backup_gateway::pb;
use oci_backup_gateway::pb::backup_service_client::BackupServiceClient;
use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// What services send: a name, a type and some tags.
pub(crate) fn create() -> pb::CreateVolumeBackupRequest {
    let text = |text: &str| prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(text.to_owned())),
    };
    let operations = [("CostCenter", "42"), ("Owner", "storage")];
    let operations = operations.map(|(key, value)| (key.to_owned(), text(value)));
    pb::CreateVolumeBackupRequest {
        volume_id: VOLUME.to_owned(),
        display_name: Some("nightly".to_owned()),
        r#type: pb::BackupType::Incremental.into(),
        freeform_tags: BTreeMap::from(
            [("service", "orders"), ("stage", "production")]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        ),
        defined_tags: BTreeMap::from([(
            "Operations".to_owned(),
            prost_types::Struct { fields: BTreeMap::from(operations) },
        )]),
        ..pb::CreateVolumeBackupRequest::default()
    }
}

/// One call, from request to answer.
pub(crate) async fn call(caller: &mut BackupServiceClient<Channel>) -> Outcome<()> {
    let answer = caller.create_volume_backup(create()).await?.into_inner();
    answer.volume_backup.map(|_| ()).ok_or_else(|| "an answer without a backup".into())
}

/// Callers who share some connections.
pub(crate) struct Callers(Vec<BackupServiceClient<Channel>>);

impl Callers {
    /// `callers` of them over `connections`.
    pub(crate) async fn connect(gateway: &Gateway, callers: usize, connections: usize) -> Outcome<Self> {
        let mut channels = Vec::with_capacity(connections);
        for _ in 0..connections {
            channels.push(gateway.connect().await?);
        }
        Ok(Self(channels.into_iter().map(BackupServiceClient::new).cycle().take(callers).collect()))
    }

    /// Everybody calls, one call after the other, until the period is over. Returns how many calls were made.
    pub(crate) async fn call_for(&self, period: Duration) -> Outcome<u32> {
        let end = Instant::now() + period;
        let mut calling: JoinSet<Outcome<u32>> = JoinSet::new();
        for mut caller in self.0.iter().cloned() {
            calling.spawn(async move {
                let mut calls = 0;
                while Instant::now() < end {
                    call(&mut caller).await?;
                    calls += 1;
                }
                Ok(calls)
            });
        }
        let mut calls = 0;
        while let Some(made) = calling.join_next().await {
            calls += made??;
        }
        Ok(calls)
    }

    /// Everybody calls once, all at the same time.
    pub(crate) fn call_once(&self) -> JoinSet<Outcome<()>> {
        self.0.iter().cloned().map(|mut caller| async move { call(&mut caller).await }).collect()
    }
}
