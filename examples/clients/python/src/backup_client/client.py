"""Both creates: with a deadline, and with what comes back beside the backup."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc

from backup_client.channel import GatewayChannel
from ocibackup.v1.backup_service_pb2_grpc import BackupServiceStub
from ocibackup.v1.boot_volume_backup_pb2 import CreateBootVolumeBackupRequest, CreateBootVolumeBackupResponse
from ocibackup.v1.volume_backup_pb2 import CreateVolumeBackupRequest, CreateVolumeBackupResponse

Metadata = Sequence[tuple[str, str]]
Request = CreateVolumeBackupRequest | CreateBootVolumeBackupRequest
Response = TypeVar("Response")


@dataclass(frozen=True)
class Answer(Generic[Response]):
    """What came of a call that succeeded."""

    response: Response
    metadata: dict[str, str]

    @property
    def request_id(self) -> str:
        """What Oracle's support asks for."""
        return self.metadata.get("opc-request-id", "")


class BackupClient:
    """Calls raise `grpc.RpcError`, which `explain` puts into words.

    A create without a retry token raises `ValueError`, and nothing is sent: what the library repeats by itself
    would be another backup. Give each wanted backup a token of its own, store it before the first call, and use
    it again for every repetition: then there is never a second backup.
    """

    def __init__(self, channel: GatewayChannel) -> None:
        self._channel = channel
        self._stub = BackupServiceStub(channel.grpc)

    def create_volume_backup(
        self,
        request: CreateVolumeBackupRequest,
        timeout: float = 30.0,
        metadata: Metadata = (),
        started: Callable[[grpc.Future], object] | None = None,
    ) -> Answer[CreateVolumeBackupResponse]:
        """`started` is given the call on its way: for those who may have to `cancel()` it."""
        self._need_retry_token(request, metadata)
        call = self._stub.CreateVolumeBackup.future(request, timeout=timeout, metadata=metadata)
        return self._wait(call, started)

    def create_boot_volume_backup(
        self,
        request: CreateBootVolumeBackupRequest,
        timeout: float = 30.0,
        metadata: Metadata = (),
        started: Callable[[grpc.Future], object] | None = None,
    ) -> Answer[CreateBootVolumeBackupResponse]:
        """As `create_volume_backup`."""
        self._need_retry_token(request, metadata)
        call = self._stub.CreateBootVolumeBackup.future(request, timeout=timeout, metadata=metadata)
        return self._wait(call, started)

    def _need_retry_token(self, request: Request, metadata: Metadata) -> None:
        if not retry_token_of(request, metadata):
            raise ValueError("a create needs a retry token: without one, a repetition would be another backup")

    def _wait(self, call: grpc.Future, started: Callable[[grpc.Future], object] | None) -> Answer[Response]:
        if started:
            started(call)
        try:
            response = call.result()
        except grpc.FutureCancelledError:
            # The call itself is an RpcError too, and has the code CANCELLED.
            raise call from None
        except grpc.RpcError as error:
            # Of its own deadline the library says no more than `Deadline Exceeded`.
            late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and not error.trailing_metadata()
            if late and (why := self._channel.why_not_connected()):
                error.add_note(why)
            raise
        return Answer(response, dict(call.initial_metadata()))


def retry_token_of(request: Request, metadata: Metadata) -> str:
    """The request's retry token, which may be in metadata too, or nothing."""
    return request.retry_token or dict(metadata).get("opc-retry-token", "")


def new_retry_token() -> str:
    """One for each wanted backup."""
    return str(uuid.uuid4())
