"""The channel: where the gateway is, TLS, and what the library does by itself."""

import re
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Self

import grpc

SERVICE_CONFIG = files("backup_client").joinpath("service-config.json").read_text(encoding="utf-8")

_TARGET = re.compile(r"(dns:(//[^/]*/)?)?(?P<host>[^][:/\s]+|\[[^][/\s]+\]):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class Tls:
    """Whom to trust, and who this client is, as paths of PEM files; without `authorities`, the system's."""

    authorities: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises `OSError` or `ValueError` for a file that is no good, where grpcio would only log it."""
        authorities = self.authorities.read_bytes() if self.authorities else system_authorities()
        if self.authorities:
            _check(self.authorities, lambda context: context.load_verify_locations(self.authorities))
        certificate, key = self.certificate, self.key
        if certificate is None or key is None:
            return grpc.ssl_channel_credentials(authorities)
        identity = {"private_key": key.read_bytes(), "certificate_chain": certificate.read_bytes()}
        _check(certificate, lambda context: context.load_cert_chain(certificate, key))
        return grpc.ssl_channel_credentials(authorities, **identity)


class GatewayChannel:
    """A channel to all the gateways behind `target`: `host:port` or `dns:///name:port`.

    Raises `ValueError` for another target: grpcio would take 99999 for the port 34463, and none for 443.
    """

    def __init__(self, target: str, tls: Tls | None = None, service_config: str = SERVICE_CONFIG) -> None:
        parts = _TARGET.fullmatch(target)
        if not parts or not 0 < int(parts["port"]) < 65_536:
            raise ValueError(f"{target!r} is neither host:port nor dns:///name:port")
        self._host, self._port = parts["host"].strip("[]"), int(parts["port"])
        self._credentials = tls.credentials() if tls else None
        options = [
            # Turns over all addresses, health, retries, waiting for a gateway: the library does what this says.
            ("grpc.service_config", service_config),
            ("grpc.enable_retries", 1),
            # A gateway that is new or back is found within seconds, and not within 30 s or 2 minutes.
            ("grpc.dns_min_time_between_resolutions_ms", 5_000),
            ("grpc.max_reconnect_backoff_ms", 5_000),
            # A connection that died in silence is noticed.
            ("grpc.keepalive_time_ms", 10_000),
            ("grpc.keepalive_timeout_ms", 5_000),
        ]
        self.grpc = self._open(target, options)

    def why_not_connected(self) -> str | None:
        """What stands between this channel and a gateway. It takes half a second at most."""
        why = _refusal(self.grpc, 0.05)
        # That is of one address. `localhost` has two of which a gateway may have one: another may tell more.
        if why and "refused" in why and (others := self._refusals()):
            return next((other for other in others if "refused" not in other), why)
        return why

    def _refusals(self) -> list[str]:
        """What each address of the name says by itself."""
        until, told = time.monotonic() + 0.4, []
        with suppress(OSError):
            for *_, address in socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM):
                scheme, host = ("ipv6", f"[{address[0]}]") if ":" in str(address[0]) else ("ipv4", address[0])
                # The name stays what the certificate is held against.
                name = f"{self._host}:{self._port}"
                options = [("grpc.default_authority", name), ("grpc.ssl_target_name_override", self._host)]
                with self._open(f"{scheme}:{host}:{self._port}", options) as channel:
                    told.append(_refusal(channel, max(until - time.monotonic(), 0.0)))
        return [why for why in told if why]

    def _open(self, target: str, options: list[tuple[str, str | int]]) -> grpc.Channel:
        if self._credentials is None:
            return grpc.insecure_channel(target, options)
        return grpc.secure_channel(target, self._credentials, options)

    def close(self) -> None:
        self.grpc.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _refusal(channel: grpc.Channel, timeout: float) -> str | None:
    """Who waits for a gateway in vain hears no more than `Deadline Exceeded`; who does not wait hears why."""
    try:
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=timeout, wait_for_ready=False)
    except grpc.RpcError as error:
        return error.details() if error.code() is grpc.StatusCode.UNAVAILABLE else None
    return None


def system_authorities() -> bytes | None:
    """The machine's authorities, a company's own among them; grpcio would take those that it brings along."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return Path(paths.cafile).read_bytes()
    certificates = sorted(Path(paths.capath).glob("*.[0-9]")) if paths.capath else []
    return b"\n".join(certificate.read_bytes() for certificate in certificates) or None


def _check(file: Path, load: Callable[[ssl.SSLContext], object]) -> None:
    try:
        load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    except ssl.SSLError as error:
        raise ValueError(f"{file} cannot be used: {error}") from error
