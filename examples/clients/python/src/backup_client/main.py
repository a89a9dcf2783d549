"""The command line. `calls`, in `calls.py`, is for the tests; a program of yours needs neither."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

# What the library logs would stand among our lines. It reads this when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc

from backup_client.calls import AnyCallClient, NotACall, run_calls
from backup_client.channel import SERVICE_CONFIG, GatewayChannel, Tls
from backup_client.client import BackupClient, new_retry_token
from backup_client.explain import explain
from ocibackup.v1.backup_pb2 import LifecycleState
from ocibackup.v1.boot_volume_backup_pb2 import BootVolumeBackup, CreateBootVolumeBackupRequest
from ocibackup.v1.volume_backup_pb2 import CreateVolumeBackupRequest, VolumeBackup


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def arguments() -> argparse.Namespace:
    parser = Parser(prog="backup", allow_abbrev=False)
    parser.add_argument("command", choices=["volume", "boot-volume", "calls"])
    parser.add_argument("id", nargs="?", help="of the volume or boot volume")
    parser.add_argument("--gateway", metavar="TARGET", default="127.0.0.1:50051", help="host:port or dns:///name:port")
    parser.add_argument("--tls", action="store_true", help="TLS, with the system's authorities")
    parser.add_argument("--tls-ca", metavar="FILE", type=Path, help="TLS, with these authorities (PEM)")
    parser.add_argument("--tls-cert", metavar="FILE", type=Path, help="the certificate of this client (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", type=Path, help="its key (PEM)")
    parser.add_argument("--service-config", metavar="FILE", type=Path, help="in place of the one that is built in")
    parser.add_argument("--name", help="the backup's display name")
    parser.add_argument("--retry-token", metavar="TOKEN", help="of this backup (default: a new UUID)")
    parser.add_argument("--timeout", metavar="SECONDS", type=float, default=30.0, help="the deadline (default: 30)")
    given = parser.parse_intermixed_args()
    if (given.command == "calls") != (given.id is None):
        parser.error(f"{given.command} takes {'no argument' if given.id else 'an id'}")
    if given.retry_token == "":
        parser.error("--retry-token is empty")
    if bool(given.tls_cert) != bool(given.tls_key):
        parser.error("--tls-cert and --tls-key go together")
    if not 0 < given.timeout <= 86_400:
        parser.error("--timeout must be more than 0, and at most 86400")
    try:
        "".join(filter(None, [given.id, given.name, given.retry_token])).encode()
    except UnicodeEncodeError:
        parser.error("the arguments are not UTF-8")
    return given


def channel_of(given: argparse.Namespace) -> GatewayChannel:
    service_config = SERVICE_CONFIG
    if given.service_config:
        service_config = given.service_config.read_text(encoding="utf-8")
        try:
            json.loads(service_config)
        except ValueError as error:
            raise ValueError(f"{given.service_config} is not JSON: {error}") from error
    tls = Tls(given.tls_ca, given.tls_cert, given.tls_key)
    return GatewayChannel(given.gateway, tls if given.tls or tls != Tls() else None, service_config)


def create(client: BackupClient, given: argparse.Namespace) -> int:
    token = given.retry_token
    if token is None:
        token = new_retry_token()
        # Before the call, so that it is known whatever becomes of that.
        print(f"retry token {token}", file=sys.stderr)
    try:
        backup, request_id = (create_volume if given.command == "volume" else create_boot_volume)(client, given, token)
    except grpc.RpcError as error:
        print(explain(error, token).words, file=sys.stderr)
        return 1
    state = LifecycleState.Name(backup.lifecycle_state).removeprefix("LIFECYCLE_STATE_")
    print(f"{backup.id} {state}; retry token {token}; opc-request-id {request_id}")
    return 0


def create_volume(client: BackupClient, given: argparse.Namespace, token: str) -> tuple[VolumeBackup, str]:
    request = CreateVolumeBackupRequest(volume_id=given.id, display_name=given.name, retry_token=token)
    answer = client.create_volume_backup(request, given.timeout)
    return answer.response.volume_backup, answer.request_id


def create_boot_volume(client: BackupClient, given: argparse.Namespace, token: str) -> tuple[BootVolumeBackup, str]:
    request = CreateBootVolumeBackupRequest(boot_volume_id=given.id, display_name=given.name, retry_token=token)
    answer = client.create_boot_volume_backup(request, given.timeout)
    return answer.response.boot_volume_backup, answer.request_id


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    given = arguments()
    try:
        channel = channel_of(given)
    except (OSError, ValueError) as error:
        print(f"backup: {error}", file=sys.stderr)
        return 2
    with channel:
        if given.command != "calls":
            return create(BackupClient(channel), given)
        try:
            run_calls(AnyCallClient(channel), sys.stdin.buffer, sys.stdout)
        except NotACall as error:
            print(f"backup: {error}", file=sys.stderr)
            return 2
    return 0
