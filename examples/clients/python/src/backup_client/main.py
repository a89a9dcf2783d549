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

import grpc  # noqa: E402
from ocibackup.v1.backup_pb2 import LifecycleState  # noqa: E402
from ocibackup.v1.boot_volume_backup_pb2 import CreateBootVolumeBackupRequest  # noqa: E402
from ocibackup.v1.volume_backup_pb2 import CreateVolumeBackupRequest  # noqa: E402

from backup_client.calls import NotACall, run_calls  # noqa: E402
from backup_client.channel import SERVICE_CONFIG, Tls, open_channel  # noqa: E402
from backup_client.client import BackupClient, new_retry_token  # noqa: E402
from backup_client.explain import explain  # noqa: E402


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
    if bool(given.tls_cert) != bool(given.tls_key):
        parser.error("--tls-cert and --tls-key go together")
    if not given.timeout > 0:
        parser.error("--timeout must be more than 0")
    return given


def channel_of(given: argparse.Namespace) -> grpc.Channel:
    service_config = SERVICE_CONFIG
    if given.service_config:
        service_config = given.service_config.read_text(encoding="utf-8")
        json.loads(service_config)
    tls = Tls(given.tls_ca, given.tls_cert, given.tls_key)
    return open_channel(given.gateway, tls if given.tls or tls != Tls() else None, service_config)


def create(client: BackupClient, given: argparse.Namespace) -> int:
    token = given.retry_token
    if token is None:
        token = new_retry_token()
        print(f"retry token {token}", file=sys.stderr)
    try:
        if given.command == "volume":
            volume = CreateVolumeBackupRequest(volume_id=given.id, display_name=given.name, retry_token=token)
            answer = client.create_volume_backup(volume, given.timeout)
            backup = answer.response.volume_backup
        else:
            boot = CreateBootVolumeBackupRequest(boot_volume_id=given.id, display_name=given.name, retry_token=token)
            answer = client.create_boot_volume_backup(boot, given.timeout)
            backup = answer.response.boot_volume_backup
    except grpc.RpcError as error:
        print(explain(error, token).words, file=sys.stderr)
        return 1
    state = LifecycleState.Name(backup.lifecycle_state).removeprefix("LIFECYCLE_STATE_")
    print(f"{backup.id} {state} retry token {token} opc-request-id {answer.request_id}")
    return 0


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    given = arguments()
    try:
        channel = channel_of(given)
    except (OSError, ValueError) as error:
        print(f"backup: {error}", file=sys.stderr)
        return 2
    with channel:
        client = BackupClient(channel)
        if given.command != "calls":
            return create(client, given)
        try:
            run_calls(client, sys.stdin, sys.stdout)
        except NotACall as error:
            print(f"backup: {error}", file=sys.stderr)
            return 2
    return 0
