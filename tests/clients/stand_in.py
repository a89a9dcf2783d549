"""A stand-in for a gateway that answers what it is told, so that clients meet what no gateway of this version says.

Its argument is JSON: for each retry token a list of answers, of which each call takes the next and the last one stays:

    {"code": "UNAVAILABLE", "metadata": {"grpc-retry-pushback-ms": "-1"}}     an error; it may have
        "details": [{"@type": "ErrorInfo", "reason": "INTERNAL"}]               of google.rpc, as protobuf's JSON; with
                                                                              "hex" in place of fields, these bytes
        "status": "ff"                                                        in place of details: all of the bytes
    {"lifecycleState": 42, "unknownField": true}                              a backup; what is in it may be newer than
                                                                              the client's proto
Standard output: its address, then a line for each call.
"""

import json
import signal
import sys
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from ocibackup.v1 import backup_service_pb2_grpc, volume_backup_pb2

# Field 1000 with the text "from the future": tag and length, then the text.
UNKNOWN_FIELD = b"\xc2\x3e\x0ffrom the future"


def status(answer) -> bytes:
    """What `grpc-status-details-bin` has."""
    if "status" in answer:
        return bytes.fromhex(answer["status"])
    told = status_pb2.Status(code=grpc.StatusCode[answer["code"]].value[0], message=answer["message"])
    for detail in answer["details"]:
        fields = dict(detail)
        name = fields.pop("@type")
        if "hex" in fields:
            told.details.add(type_url=f"type.googleapis.com/google.rpc.{name}", value=bytes.fromhex(fields["hex"]))
        else:
            told.details.add().Pack(json_format.ParseDict(fields, getattr(error_details_pb2, name)()))
    return told.SerializeToString()


class StandIn(backup_service_pb2_grpc.BackupServiceServicer):
    def __init__(self, script):
        self.script = script
        self.came = dict.fromkeys(script, 0)
        self.guard = threading.Lock()

    def CreateVolumeBackup(self, request, context):
        # As a gateway takes it: of the field, or of metadata.
        token = request.retry_token or dict(context.invocation_metadata()).get("opc-retry-token", "")
        with self.guard:
            answers = self.script[token]
            nth = self.came[token]
            self.came[token] += 1
            print(json.dumps({"token": token, "at": time.monotonic()}), flush=True)
        answer = answers[min(nth, len(answers) - 1)]
        if "code" in answer:
            answer = {"message": "as the script says"} | answer
            metadata = list(answer.get("metadata", {}).items())
            if "details" in answer or "status" in answer:
                metadata.append(("grpc-status-details-bin", status(answer)))
            context.set_trailing_metadata(metadata)
            context.abort(grpc.StatusCode[answer["code"]], answer["message"])
        backup = volume_backup_pb2.VolumeBackup(
            id="ocid1.volumebackup.oc1.iad.standin",
            volume_id=request.volume_id,
            lifecycle_state=answer.get("lifecycleState", 1),
        )
        if answer.get("unknownField"):
            backup.MergeFromString(UNKNOWN_FIELD)
        return volume_backup_pb2.CreateVolumeBackupResponse(volume_backup=backup)


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    backup_service_pb2_grpc.add_BackupServiceServicer_to_server(StandIn(json.loads(sys.argv[1])), server)
    servicer = health.HealthServicer()
    servicer.set("ocibackup.v1.BackupService", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"address": f"127.0.0.1:{port}"}), flush=True)
    signal.signal(signal.SIGTERM, lambda *_: server.stop(0))
    server.wait_for_termination()


if __name__ == "__main__":
    main()
