"""What Prometheus looks at: gateways in front of the sandbox's OCI, callers, and faults."""

import concurrent.futures
import contextlib
import json
import os
import re
import socket
import subprocess
import threading
import time
import urllib.request
import uuid

import grpc
from ocibackup.v1 import backup_service_pb2_grpc, volume_backup_pb2

# A fault for each retry token that bears its name. They make every series that a query asks for by a value.
FAULTS = {
    "throttled": {"answer": {"status": 429, "code": "TooManyRequests"}},
    "broken": {"answer": {"status": 500}},
    "overloaded": {"answer": {"status": 503}},
    "state": {"answer": {"status": 409, "code": "IncorrectState"}},
    "moved": {"answer": {"status": 302}},
    "refused": {"answer": {"status": 401}},
    "unknown-operation": {"answer": {"status": 404, "code": "NotFound"}},
    "unreadable": {"answer": {"status": 200, "body": "no JSON"}},
    "giant": {"wire": {"giant_body": {"bytes": 300_000}}},
    "reset": {"wire": {"reset": {"at": "after_commit"}}},
    "late": {"stall": {"at": "before_commit", "ms": 2_000}},
}
# Calls of a crowd stay for a while.
CROWD = {f"crowd-{one}": {"stall": {"at": "before_commit", "ms": 700}} for one in range(24)}
# Attempts take at most a second here, so this is over before one of them is.
IMPATIENT = 0.6


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(until, what, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        # What is not there yet refuses connections.
        with contextlib.suppress(OSError):
            if found := until():
                return found
        time.sleep(0.1)
    raise SystemExit(f"{what}: not within {seconds} s")


def fetch(url, **body):
    data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as answer:
        return answer.read().decode()


class Stage(contextlib.ExitStack):
    """Ends what it has started, whatever happens."""

    def __init__(self, binary, work):
        super().__init__()
        self.binary, self.work = binary, work
        # Gateways' names, and where their figures are.
        self.admin = {}

    def start(self, name, *command, variables=()):
        log = self.enter_context(open(f"{self.work}/{name}.log", "w+", encoding="utf-8"))
        kept = {"HOME": self.work, "PATH": os.environ["PATH"], "RUST_LOG": "info", **dict(variables)}
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=kept)
        self.callback(self.end, process)
        return log.name

    @staticmethod
    def end(process):
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def serve(self, name, endpoint, *more, variables=(), comes_to="readyz"):
        """A gateway; its address for calls. One that sees that its place is not OCI's comes to be alive, and not ready."""
        listen, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
        files = ("--config-file", f"{self.work}/oci/config")
        listeners = ("--listen", listen, "--admin-listen", admin)
        self.start(name, self.binary, "serve", *listeners, "--endpoint", endpoint, *files, *more, variables=variables)
        wait(lambda: fetch(f"http://{admin}/{comes_to}"), f"{name}: {comes_to}")
        self.admin[name] = admin
        return listen

    def set(self):
        """Four gateways: `one` with room for few calls, `two` with TLS and tokens; `astray` calls an OCI that is not
        there, and `wary`, with room for few connections, one whose certificate it does not trust."""
        log = self.log = self.start(
            "one", self.binary, "sandbox", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
            "--write-config", f"{self.work}/oci", "--max-in-flight", "16", "--attempt-timeout", "1s",
        )  # fmt: skip

        def told(what):
            with open(log, encoding="utf-8") as lines:
                found = re.search(rf"^{what} +(?:http://)?(\S+)", lines.read(), re.MULTILINE)
            return found and found[1]

        wait(lambda: told("variables"), "the sandbox")
        self.one, self.admin["one"], upstream = told("gateway"), told("admin"), told("OCI")
        self.control = told("control")
        self.inject_by_token()

        key, certificate = f"{self.work}/tls.key", f"{self.work}/tls.crt"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "60", "-keyout", key, "-out",
             certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
        with open(f"{self.work}/oci/instance-principal.env", encoding="utf-8") as lines:
            variables = [line.strip().split("=", 1) for line in lines]
        tls = ("--tls-cert", certificate, "--tls-key", key)
        self.two = self.serve("two", f"http://{upstream}", *tls, variables=variables)
        self.astray = self.serve("astray", f"http://127.0.0.1:{free_port()}")
        self.wary = self.serve("wary", f"https://{self.two}", "--max-connections", "4", comes_to="livez")
        with open(certificate, "rb") as file:
            self.authority = file.read()
        return self

    def inject_by_token(self):
        for token, fault in {**FAULTS, **CROWD}.items():
            self.inject(fault, retry_token=token, times="forever")

    def inject(self, fault, **which):
        fetch(f"http://{self.control}/sandbox/faults", fault=fault, **which)

    def mend(self):
        """Takes the faults away that strike whatever call, and leaves those by token."""
        urllib.request.urlopen(
            urllib.request.Request(f"http://{self.control}/sandbox/faults", method="DELETE"), timeout=10
        ).close()
        self.inject_by_token()

    def page(self, name):
        return fetch(f"http://{self.admin[name]}/metrics")


    def knock(self):
        """More connections at a time than `wary` has room for."""
        host, port = self.wary.split(":")
        with contextlib.ExitStack() as open_ones:
            for _ in range(12):
                # Whoever is refused may hear of it in time.
                with contextlib.suppress(OSError):
                    open_ones.enter_context(socket.create_connection((host, int(port)), timeout=5))


class Callers:
    """Some thirty calls a second, as long as they are in the `with`."""

    def __init__(self, stage):
        trusting = grpc.ssl_channel_credentials(stage.authority)
        self.one = self.stub(grpc.insecure_channel(stage.one))
        self.two = self.stub(grpc.secure_channel(stage.two, trusting))
        self.astray = self.stub(grpc.insecure_channel(stage.astray))
        self.wary = self.stub(grpc.insecure_channel(stage.wary))
        self.over = threading.Event()
        self.mishaps = threading.Event()
        self.pool = concurrent.futures.ThreadPoolExecutor(max_workers=96)

    @staticmethod
    def stub(channel):
        return backup_service_pb2_grpc.BackupServiceStub(channel)

    def call(self, stub, token=None, deadline=3.0, volume=None):
        token = token or uuid.uuid4().hex
        # Of each volume one backup at a time is made.
        volume = f"ocid1.volume.oc1.iad.{volume or token}"
        request = volume_backup_pb2.CreateVolumeBackupRequest(volume_id=volume, retry_token=token)
        with contextlib.suppress(grpc.RpcError):
            stub.CreateVolumeBackup(request, timeout=deadline)

    def crowd(self):
        """More calls at a time than there is room for."""
        for token in CROWD:
            self.pool.submit(self.call, self.one, token)

    def steadily(self):
        turn = 0
        while not self.over.wait(0.07):
            turn += 1
            self.pool.submit(self.call, self.one)
            if turn % 4 == 0:
                self.pool.submit(self.call, self.two)
                self.pool.submit(self.call, self.astray)
            if turn % 20 == 0:
                self.pool.submit(self.call, self.wary)
                self.pool.submit(self.call, self.one, volume="missing")

    def with_mishaps(self):
        """Each fault in turn; after a refused credential OCI's opinion is that of the next call."""
        while not self.over.wait(0.1):
            for token in FAULTS:
                if self.mishaps.is_set() and not self.over.wait(0.15):
                    deadline = IMPATIENT if token == "late" else 2.5
                    self.pool.submit(self.call, self.one, token, deadline)
            if self.mishaps.is_set():
                self.pool.submit(self.call, self.one, "late", 2.5)

    def __enter__(self):
        self.threads = [threading.Thread(target=each) for each in (self.steadily, self.with_mishaps)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        self.pool.shutdown()
