//! Lines to paste into another terminal.

use crate::commands::healthcheck::reachable;
use std::net::SocketAddr;

/// Calls of the gateway at `address` by the tools that people have.
pub(super) fn lines(address: SocketAddr) -> String {
    let address = reachable(address);
    format!(
        r#"
Serving until Ctrl-C; RUST_LOG=info shows each call. Every volume exists here, but those whose name starts
with `missing`. Calls to paste into another terminal:

# grpcurl knows the proto by reflection
grpcurl -plaintext -d '{{"volume_id": "ocid1.volume.oc1.iad.one", "display_name": "by grpcurl"}}' \
  {address} ocibackup.v1.BackupService/CreateVolumeBackup

# so does buf
buf curl --protocol grpc --http2-prior-knowledge -d '{{"boot_volume_id": "ocid1.bootvolume.oc1.iad.two"}}' \
  http://{address}/ocibackup.v1.BackupService/CreateBootVolumeBackup

# Python, with stubs made from proto/ (pip install grpcio-tools)
python3 -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. proto/ocibackup/v1/*.proto
python3 - <<'END'
import grpc
from ocibackup.v1 import backup_service_pb2_grpc as rpc, volume_backup_pb2 as pb
gateway = rpc.BackupServiceStub(grpc.insecure_channel("{address}"))
request = pb.CreateVolumeBackupRequest(volume_id="ocid1.volume.oc1.iad.three", retry_token="backup-of-three")
answer, call = gateway.CreateVolumeBackup.with_call(request, timeout=30)
print(answer.volume_backup.id, dict(call.initial_metadata())["opc-request-id"])
END
"#
    )
}
