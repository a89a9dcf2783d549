"""Calls as JSON lines, for the tests that drive this client: `tests/clients/README.md` of the gateway.

Leave it out of what you copy.
"""

import itertools
import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, TextIO

import grpc
from google.protobuf import json_format

from backup_client.client import Answer, BackupClient, Metadata, Request, retry_token_of
from backup_client.explain import Failure, explain
from ocibackup.v1.boot_volume_backup_pb2 import CreateBootVolumeBackupRequest
from ocibackup.v1.volume_backup_pb2 import CreateVolumeBackupRequest

Json = dict[str, Any]


class AnyCallClient(BackupClient):
    """Sends a create without a retry token too, to show what the gateway does. A program of yours must not."""

    def _need_retry_token(self, request: Request, metadata: Metadata) -> None:
        """Needs none."""


class NotACall(Exception):
    """A line that cannot be understood."""


@dataclass(frozen=True)
class Rpc:
    request: type[CreateVolumeBackupRequest] | type[CreateBootVolumeBackupRequest]
    create: Callable[..., Answer[Any]]
    # Of a load: the field that has the volume, what its id begins with, and where the backup is.
    volume: str
    id_prefix: str
    backup: str


RPCS = {
    "CreateVolumeBackup": Rpc(
        CreateVolumeBackupRequest,
        BackupClient.create_volume_backup,
        "volume_id",
        "ocid1.volume.oc1.iad.",
        "volume_backup",
    ),
    "CreateBootVolumeBackup": Rpc(
        CreateBootVolumeBackupRequest,
        BackupClient.create_boot_volume_backup,
        "boot_volume_id",
        "ocid1.bootvolume.oc1.iad.",
        "boot_volume_backup",
    ),
}


@dataclass(frozen=True)
class Call:
    rpc: Rpc
    request: Any
    metadata: tuple[tuple[str, str], ...] = ()
    timeout: float = 30.0
    cancel_after: float | None = None

    def make(self, client: BackupClient) -> Answer[Any]:
        return self.rpc.create(client, self.request, self.timeout, self.metadata, self._cancel_later)

    def _cancel_later(self, call: grpc.Future) -> None:
        if self.cancel_after is not None:
            timer = threading.Timer(self.cancel_after, call.cancel)
            timer.daemon = True
            timer.start()

    @property
    def retry_token(self) -> str:
        return retry_token_of(self.request, self.metadata)


def run_calls(client: BackupClient, lines: BinaryIO, answers: TextIO) -> None:
    for number, line in enumerate(lines, 1):
        try:
            told = _understood(json.loads(line))(client)
        except (ValueError, KeyError, TypeError, AttributeError, json_format.ParseError) as error:
            raise NotACall(f"line {number} is no call: {' '.join(repr(error).split())}") from error
        print(json.dumps(told), file=answers, flush=True)


def _understood(line: Any) -> Callable[[BackupClient], Json | list[Json]]:
    """What is to be done for a line."""
    if isinstance(line, list):
        calls = [_call(one) for one in line]
        return lambda client: _at_once(client, calls)
    if "load" in line:
        load = Load(**line["load"])
        return load.run
    call = _call(line)
    return lambda client: _answer(client, call)


def _call(line: Json) -> Call:
    rpc = RPCS[line["rpc"]]
    return Call(
        rpc,
        json_format.ParseDict(line["request"], rpc.request()),
        tuple(line.get("metadata", {}).items()),
        line.get("timeoutMs", 30_000) / 1000,
        line["cancelAfterMs"] / 1000 if "cancelAfterMs" in line else None,
    )


def _at_once(client: BackupClient, calls: list[Call]) -> list[Json]:
    with ThreadPoolExecutor(max(len(calls), 1)) as threads:
        return list(threads.map(lambda call: _answer(client, call), calls))


def _answer(client: BackupClient, call: Call) -> Json:
    begun = time.monotonic()
    try:
        answer = call.make(client)
    except grpc.RpcError as error:
        told = _failure(explain(error, call.retry_token))
    else:
        told = {
            "code": "OK",
            "response": json_format.MessageToDict(answer.response),
            "metadata": _ours(answer.metadata),
        }
    told["tookMs"] = round((time.monotonic() - begun) * 1000)
    return told


def _failure(failure: Failure) -> Json:
    told = {
        "code": failure.code,
        "message": failure.message,
        "domain": failure.domain,
        "reason": failure.reason,
        "errorMetadata": failure.error_metadata,
        "requestId": failure.request_id,
        "violations": [{"field": name, "description": wrong} for name, wrong in failure.violations],
        "quotaViolations": [{"subject": name, "description": wrong} for name, wrong in failure.quota_violations],
        "resource": failure.resource and {"resourceType": failure.resource[0], "resourceName": failure.resource[1]},
        "retryAfterMs": failure.retry_after_ms,
        "pushbackMs": failure.pushback_ms,
        "metadata": _ours(failure.metadata),
        "decision": failure.decision,
        "repeatAfterMs": failure.repeat_after_ms,
        "words": failure.words,
    }
    return {key: value for key, value in told.items() if value not in (None, "", [], {})}


def _ours(metadata: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if key == "etag" or key.startswith("opc-")}


@dataclass(frozen=True)
class Load:
    """Many calls, each with a volume and a token of its own. The names are those of the line."""

    rpc: str
    prefix: str
    atOnce: int
    calls: int | None = None
    forMs: float | None = None
    timeoutMs: float = 30_000

    def __post_init__(self) -> None:
        if self.rpc not in RPCS or self.atOnce < 1 or (self.calls is None) == (self.forMs is None):
            raise ValueError("a load has an rpc, atOnce, and either calls or forMs")

    def run(self, client: BackupClient) -> Json:
        # One list of threads' own results, and one counter: neither needs a lock.
        numbers = itertools.count()
        begun = time.monotonic()
        results: list[tuple[float, str, str]] = []

        def one_after_another() -> None:
            while True:
                number = next(numbers)
                if self.calls is not None and number >= self.calls:
                    return
                if self.forMs is not None and time.monotonic() - begun >= self.forMs / 1000:
                    return
                results.append(self._one(client, number))

        with ThreadPoolExecutor(self.atOnce) as threads:
            for done in [threads.submit(one_after_another) for _ in range(self.atOnce)]:
                done.result()
        seconds = time.monotonic() - begun

        failures = [told for _, code, told in results if code != "OK"]
        came = {
            "calls": len(results),
            "codes": dict(Counter(code for _, code, _ in results)),
            "firstFailure": failures[0] if failures else None,
            "seconds": round(seconds, 3),
            "medianMs": round(statistics.median([took for took, _, _ in results] or [0.0]) * 1000, 2),
            "backups": len({told for _, code, told in results if code == "OK"}),
        }
        return {key: value for key, value in came.items() if value is not None}

    def _one(self, client: BackupClient, number: int) -> tuple[float, str, str]:
        """How long a call took, its code, and the backup's id or what failed."""
        rpc = RPCS[self.rpc]
        request = rpc.request(retry_token=f"{self.prefix}-{number}")
        setattr(request, rpc.volume, f"{rpc.id_prefix}{self.prefix}{number}")
        begun = time.monotonic()
        try:
            answer = Call(rpc, request, timeout=self.timeoutMs / 1000).make(client)
        except grpc.RpcError as error:
            failure = explain(error, request.retry_token)
            return time.monotonic() - begun, failure.code, failure.words
        return time.monotonic() - begun, "OK", getattr(answer.response, rpc.backup).id
