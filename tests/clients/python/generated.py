"""A service owner's client: stubs by grpcio-tools, errors by grpcio-status, beside OCI's own SDK."""

import grpc
import oci.core.models
from google.protobuf import json_format
from google.rpc import error_details_pb2  # noqa: F401  (so that the details of a status can be read)
from grpc_status import rpc_status
from ocibackup.v1 import backup_service_pb2_grpc, boot_volume_backup_pb2, volume_backup_pb2

import scenarios

REQUESTS = {
    "CreateVolumeBackup": volume_backup_pb2.CreateVolumeBackupRequest,
    "CreateBootVolumeBackup": boot_volume_backup_pb2.CreateBootVolumeBackupRequest,
}

DEFAULT_DEADLINE = 20


def client_of(gateway):
    stub = backup_service_pb2_grpc.BackupServiceStub(grpc.insecure_channel(gateway))

    def call(wanted):
        request = json_format.ParseDict(wanted["request"], REQUESTS[wanted["rpc"]]())
        metadata = tuple(wanted.get("metadata", {}).items())
        method = getattr(stub, wanted["rpc"])
        try:
            response, rpc = method.with_call(request, timeout=wanted.get("deadline", DEFAULT_DEADLINE), metadata=metadata)
        except grpc.RpcError as error:
            return failure(error)
        return {
            "status": "OK",
            "response": json_format.MessageToDict(response),
            "metadata": dict(rpc.initial_metadata()),
        }

    return call


def failure(error):
    status = rpc_status.from_call(error)
    details = [json_format.MessageToDict(detail) for detail in status.details] if status else []
    return {
        "status": error.code().name,
        "message": error.details(),
        "metadata": dict(error.trailing_metadata() or ()),
        "details": {detail.pop("@type").rpartition("/")[2]: detail for detail in details},
    }


def stand_beside_the_sdk():
    """Both packages are usable in one process: neither hides the other."""
    details = oci.core.models.CreateVolumeBackupDetails(volume_id="ocid1.volume.oc1.iad.x")
    request = volume_backup_pb2.CreateVolumeBackupRequest(volume_id=details.volume_id)
    assert request.volume_id == "ocid1.volume.oc1.iad.x"
    print("ok     the stubs and OCI's SDK in one process")


if __name__ == "__main__":
    stand_beside_the_sdk()
    scenarios.main(client_of)
