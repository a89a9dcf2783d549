"""The channel: where the gateway is, TLS, and what the library does by itself."""

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import grpc

SERVICE_CONFIG = files("backup_client").joinpath("service-config.json").read_text(encoding="utf-8")

_TARGET = re.compile(r"(dns:(//[^/]*/)?)?([^][:/\s]+|\[[^][/\s]+\]):[0-9]{1,5}")


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


def open_channel(target: str, tls: Tls | None = None, service_config: str = SERVICE_CONFIG) -> grpc.Channel:
    """A channel to all the gateways behind `target`: `host:port` or `dns:///name:port`.

    Raises `ValueError` for another target: grpcio would take 99999 for the port 34463, and none for 443.
    """
    if not _TARGET.fullmatch(target) or not 0 < int(target.rpartition(":")[2]) < 65_536:
        raise ValueError(f"{target!r} is neither host:port nor dns:///name:port")
    options = [
        # Turns over all addresses, health, retries, waiting for a gateway: the library does what this says.
        ("grpc.service_config", service_config),
        ("grpc.enable_retries", 1),
        # A gateway that is new or back is found within seconds, and not within 30 s or 2 minutes.
        ("grpc.dns_min_time_between_resolutions_ms", 5_000),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # A connection that died in silence is noticed.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 5_000),
    ]
    if tls is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, tls.credentials(), options)


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
