//! The proto can be asked for, in both versions of the question, or not at all.

use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::channel;
use crate::rig::create;
use oci_backup_gateway::server;
use oci_backup_gateway::server::Reflection;
use prost::Message;
use prost_types::FileDescriptorProto;
use std::net::SocketAddr;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::Status;

const SERVICE: &str = "ocibackup.v1.BackupService";

/// What one version answers: the services, and the files that define ours.
macro_rules! asked {
    ($version:ident, $gateway:expr) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        let questions = [
            MessageRequest::ListServices(String::new()),
            MessageRequest::FileContainingSymbol(SERVICE.to_owned()),
        ]
        .map(|question| ServerReflectionRequest { host: String::new(), message_request: Some(question) });
        let mut client = ServerReflectionClient::new(channel($gateway).await);
        match client.server_reflection_info(tokio_stream::iter(questions)).await {
            Err(status) => Err(status),
            Ok(answers) => {
                let (mut services, mut files) = (Vec::new(), Vec::new());
                let mut answers = answers.into_inner();
                while let Some(answer) = answers.next().await {
                    match answer.unwrap().message_response.unwrap() {
                        MessageResponse::ListServicesResponse(list) => {
                            services.extend(list.service.into_iter().map(|service| service.name));
                        }
                        MessageResponse::FileDescriptorResponse(found) => {
                            files.extend(found.file_descriptor_proto);
                        }
                        other => panic!("{other:?}"),
                    }
                }
                Ok((services, files))
            }
        }
    }};
}

type Answer = Result<(Vec<String>, Vec<Vec<u8>>), Status>;

async fn both(gateway: SocketAddr) -> [(&'static str, Answer); 2] {
    [("v1", asked!(v1, gateway)), ("v1alpha", asked!(v1alpha, gateway))]
}

#[tokio::test]
async fn both_versions_list_the_service_and_serve_its_descriptor() {
    let rig = Rig::start().await;
    for (version, answer) in both(rig.server.address()).await {
        let (services, files) = answer.unwrap();
        assert!(services.iter().any(|name| name == SERVICE), "{version}: {services:?}");
        assert!(services.iter().any(|name| name == "grpc.health.v1.Health"), "{version}: {services:?}");
        let file = FileDescriptorProto::decode(&*files[0]).unwrap();
        let service = file.service.iter().find(|service| service.name() == "BackupService").unwrap();
        let methods: Vec<&str> =
            service.method.iter().map(prost_types::MethodDescriptorProto::name).collect();
        for method in ["CreateBootVolumeBackup", "CreateVolumeBackup"] {
            assert!(methods.contains(&method), "{version}: {methods:?}");
        }
    }
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let server = server::Config { reflection: Reflection::Off, ..Setup::default().server };
    let rig = Rig::with(Setup { server, ..Setup::default() }).await;
    for (version, answer) in both(rig.server.address()).await {
        assert_eq!(answer.unwrap_err().code(), Code::Unimplemented, "{version}");
    }
    rig.caller.clone().create_volume_backup(create()).await.unwrap();
}
