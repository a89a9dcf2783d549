"""What a failed call means: in words for people, and as a decision for the program."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc_status import rpc_status

# Without a gateway's word, these may have come after the call had reached one.
_MAY_HAVE_REACHED = {
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "CANCELLED",
    "UNKNOWN",
    "INTERNAL",
    "RESOURCE_EXHAUSTED",
    "DATA_LOSS",
    # What a proxy said in HTTP.
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "UNIMPLEMENTED",
}

_FOR_THE_GATEWAYS_PEOPLE = {
    # codes
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "UNIMPLEMENTED",
    "INTERNAL",
    # reasons
    "UPSTREAM_TLS",
    "UPSTREAM_REDIRECT",
}

_OUTCOMES = {
    "STARTED": "the backup was made, but its answer cannot be used",
    "UNKNOWN": "the backup may have been made",
}


@dataclass
class Failure:
    """All that is known of a call that failed. `words` and `decision` are what to act upon."""

    code: str
    message: str
    decision: Literal["REPEAT", "STOP"] = "STOP"
    words: str = ""
    # To repeat with, and how long to wait before.
    retry_token: str = ""
    repeat_after_ms: int | None = None

    # Of `ErrorInfo`, without which no gateway spoke.
    told_by_gateway: bool = False
    domain: str = ""
    reason: str = ""
    error_metadata: dict[str, str] = field(default_factory=dict)
    request_id: str = ""
    violations: list[tuple[str, str]] = field(default_factory=list)
    quota_violations: list[tuple[str, str]] = field(default_factory=list)
    resource: tuple[str, str] | None = None
    retry_after_ms: int | None = None
    pushback_ms: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)


def explain(error: grpc.RpcError, retry_token: str) -> Failure:
    """Tells whether to repeat the call that was made with `retry_token`, when, and what to do else. It never raises."""
    metadata = {key: value for key, value in error.trailing_metadata() or () if isinstance(value, str)}
    message = ": ".join([error.details() or "", *getattr(error, "__notes__", [])])
    failure = Failure(code=error.code().name, message=message, metadata=metadata)
    failure.retry_token = metadata.get("opc-retry-token") or retry_token
    failure.pushback_ms = _whole_number(metadata.get("grpc-retry-pushback-ms"))
    _read_details(failure, error)

    may_be_made = _OUTCOMES.get(failure.error_metadata.get("outcome", ""))
    if not failure.told_by_gateway and failure.code in _MAY_HAVE_REACHED:
        may_be_made = "no answer of a gateway came, so the backup may have been made"
    # Without a token to repeat it with, the same call would be another backup.
    if failure.retry_token and (may_be_made or failure.retry_after_ms is not None):
        failure.decision = "REPEAT"
        failure.repeat_after_ms = 1_000 if failure.retry_after_ms is None else failure.retry_after_ms
    failure.words = _words(failure, may_be_made)
    return failure


def _words(failure: Failure, may_be_made: str | None) -> str:
    oci_code = failure.error_metadata.get("oci_code")
    parts = [f"{failure.code}: {failure.message}" + (f" [{oci_code}]" if oci_code else "")]
    parts.append(may_be_made or "this call made nothing")

    if failure.decision == "REPEAT":
        parts.append(f"repeat with the retry token {failure.retry_token} in {failure.repeat_after_ms} ms")
    elif (may_be_made and not failure.retry_token) or failure.code == "FAILED_PRECONDITION":
        parts.append("find out whether the backup exists before trying again")
    elif failure.violations:
        parts.append("mend " + ", ".join(f"{name}: {wrong}" for name, wrong in failure.violations))
    elif {failure.code, failure.reason} & _FOR_THE_GATEWAYS_PEOPLE:
        parts.append("this is for those who run the gateway")
    else:
        parts.append("mend the cause before repeating")

    request_id = failure.request_id or failure.metadata.get("opc-request-id")
    if request_id:
        parts.append(f"opc-request-id {request_id}")
    return re.sub(r"\r\n|\r|\n", " ", "; ".join(parts))


def _read_details(failure: Failure, error: grpc.RpcError) -> None:
    for detail in _details(error):
        # One that cannot be read is none. What is left still tells enough.
        with suppress(DecodeError):
            _read_detail(failure, detail)


def _read_detail(failure: Failure, detail: any_pb2.Any) -> None:
    if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
        info = error_details_pb2.ErrorInfo.FromString(detail.value)
        failure.told_by_gateway = True
        failure.domain, failure.reason, failure.error_metadata = info.domain, info.reason, dict(info.metadata)
    elif detail.Is(error_details_pb2.RequestInfo.DESCRIPTOR):
        failure.request_id = error_details_pb2.RequestInfo.FromString(detail.value).request_id
    elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
        delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
        failure.retry_after_ms = max(delay.seconds * 1_000 + delay.nanos // 1_000_000, 0)
    elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
        wrong = error_details_pb2.BadRequest.FromString(detail.value)
        failure.violations = [(one.field, one.description) for one in wrong.field_violations]
    elif detail.Is(error_details_pb2.QuotaFailure.DESCRIPTOR):
        quota = error_details_pb2.QuotaFailure.FromString(detail.value)
        failure.quota_violations = [(one.subject, one.description) for one in quota.violations]
    elif detail.Is(error_details_pb2.ResourceInfo.DESCRIPTOR):
        resource = error_details_pb2.ResourceInfo.FromString(detail.value)
        failure.resource = (resource.resource_type, resource.resource_name)


def _details(error: grpc.RpcError) -> Sequence[any_pb2.Any]:
    try:
        status = rpc_status.from_call(error)
    except (ValueError, DecodeError):
        # A proxy changed the message or the details.
        return ()
    return status.details if status else ()


def _whole_number(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None
