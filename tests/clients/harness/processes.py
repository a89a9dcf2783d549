"""What runs: the sandbox's OCI, gateways, the clients' programs, and a few things that are broken on purpose."""

import json
import os
import queue
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

from . import languages


def wait_until(said, what: str, seconds: float = 20.0):
    """What `said` says as soon as it says something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = said()
        if found:
            return found
        time.sleep(0.02)
    raise TimeoutError(f"{what}: not within {seconds:g} s")


# No proxy of the environment: all is on this machine.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Process:
    """A process whose output goes to files of its own."""

    def __init__(self, work: Path, name: str, command, environment=None):
        self.output, self.errors = work / f"{name}.stdout", work / f"{name}.stderr"
        self.name, self.command = name, [str(word) for word in command]
        self.environment = (environment or {}) | {"PATH": os.environ["PATH"], "HOME": str(work)}
        self.start()

    def start(self):
        with self.output.open("ab") as output, self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=self.environment
            )

    def alive_until(self, said, what):
        def look():
            if self.process.poll() is not None and not said():
                raise RuntimeError(f"{self.name} has ended; it said:\n{self.errors.read_text()[-2000:]}")
            return said()

        return wait_until(look, f"{self.name}: {what}")

    def tell(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Sandbox(Process):
    """The embedded OCI, alone."""

    def __init__(self, binary, work: Path, name: str):
        self.files = work / f"{name}-config"
        command = [binary, "sandbox", "--upstream-only", "--write-config", self.files]
        super().__init__(work, name, command, {"RUST_LOG": "warn"})
        self.alive_until(lambda: "\nServing" in self.output.read_text(), "its addresses")

    def address(self, name: str) -> str:
        """The one place that knows how the sandbox tells its addresses: lines of `name address …`."""
        return re.search(rf"^{name} +(\S+)", self.output.read_text(), re.MULTILINE)[1]

    def send(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address('control')}{path}", data, method=method)
        with DIRECT.open(request, timeout=10) as response:
            text = response.read()
        return json.loads(text) if text else None

    def add_faults(self, faults):
        self.send("POST", "/sandbox/faults", faults)

    def clear_faults(self):
        self.send("DELETE", "/sandbox/faults")

    def attempts(self) -> dict[str, int]:
        """How many requests came under each retry token."""
        counted: dict[str, int] = {}
        for attempt in self.send("GET", "/sandbox/ledger")["attempts"]:
            token = attempt["retry_token"]
            counted[token] = counted.get(token, 0) + 1
        return counted

    def commits(self) -> dict[str, int]:
        return self.send("GET", "/sandbox/ledger")["commits_per_token"]


class Gateway(Process):
    """A gateway in front of a sandbox, or of whatever `endpoint` names."""

    def __init__(
        self, binary, work, name, sandbox: Sandbox, settings=(), endpoint=None, config=None, listen="127.0.0.1:0"
    ):
        oci = ["--config-file", config or sandbox.files / "config", "--endpoint", endpoint or sandbox.address("OCI")]
        others = ["--region", "us-ashburn-1", "--listen", listen, "--admin-listen", "127.0.0.1:0", *settings]
        command = [binary, "serve", "--log-format", "json", *oci, *others]
        super().__init__(work, name, command, {"RUST_LOG": "info"})
        self.await_listening()

    def await_listening(self):
        def told():
            return [line for line in self.log() if line["message"] == "listening"][self.starts - 1 :]

        self.starts = getattr(self, "starts", 0) + 1
        self.address = self.alive_until(told, "its address")[0]["address"]

    def log(self):
        for line in self.errors.read_text().splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                # The end of a line that is being written, or a process' last words.
                continue

    def calls(self, prefix: str) -> list[dict]:
        """The lines of the log about calls whose retry token begins so."""
        # Those that are being written included.
        time.sleep(0.05)
        return [
            line
            for line in self.log()
            if line["message"] == "call" and line.get("opc_retry_token", "").startswith(prefix)
        ]

    def restart(self):
        """Ends it, as a rollout does, and starts it at the same address."""
        self.stop()
        index = self.command.index("--listen") + 1
        self.command[index] = self.address
        self.start()
        self.await_listening()


class Program:
    """A client's program that is told calls as JSON lines."""

    def __init__(self, language: languages.Language, gateway: str, flags=(), wrapper=()):
        self.language = language
        command = [*wrapper, *language.command, "--gateway", gateway, *flags, "calls"]
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.errors: list[str] = []
        for stream, take in [(self.process.stdout, self.lines.put), (self.process.stderr, self.errors.append)]:
            threading.Thread(target=self.read, args=(stream, take), daemon=True).start()

    def read(self, stream, take):
        for line in stream:
            take(line)
        take("")

    def tell(self, line):
        try:
            self.process.stdin.write(json.dumps(line, ensure_ascii=False) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise RuntimeError(f"the program has ended; it said: {''.join(self.errors)[-1000:]}") from error

    def hear(self, seconds: float = 60.0):
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"no answer within {seconds:g} s") from None
        if not line:
            raise RuntimeError(f"the program has ended; it said: {''.join(self.errors)[-1000:]}")
        return json.loads(line)

    def ask(self, line, seconds: float = 60.0):
        self.tell(line)
        return self.hear(seconds)

    def close(self) -> int:
        self.process.stdin.close()
        try:
            return self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise TimeoutError("the program does not end with its input") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Door:
    """A way to a listener, that can be shut (connections are refused) and opened."""

    def __init__(self, behind: str):
        host, _, port = behind.removeprefix("http://").rpartition(":")
        self.behind = (host, int(port))
        self.relayed: list[socket.socket] = []
        self.socket = socket.socket()
        # Bound but not listening: the port is taken, and who connects is refused.
        self.socket.bind(("127.0.0.1", 0))
        self.address = "http://{}:{}".format(*self.socket.getsockname())

    def open(self):
        self.socket.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                one, _ = self.socket.accept()
            except OSError:
                return
            other = socket.create_connection(self.behind)
            self.relayed += [one, other]
            for source, target in [(one, other), (other, one)]:
                threading.Thread(target=self.relay, args=(source, target), daemon=True).start()

    def relay(self, source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self, behind: str):
        """Ends all connections; those that come later lead elsewhere."""
        host, _, port = behind.rpartition(":")
        self.behind = (host, int(port))
        for connection in self.relayed:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self):
        self.socket.close()


class TlsListener:
    """Shakes hands with this certificate, and says nothing more."""

    def __init__(self, certificate: Path, key: Path):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.context = context
        self.address = "https://{}:{}".format(*self.socket.getsockname())
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            try:
                connection.settimeout(5)
                self.context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

    def close(self):
        self.socket.close()


class StandIn:
    """tests/clients/stand_in.py: answers that no gateway of this version gives."""

    def __init__(self, script):
        python = languages.need_tools()
        self.process = subprocess.Popen(
            [str(python), str(languages.ROOT / "tests/clients/stand_in.py"), json.dumps(script)],
            stdout=subprocess.PIPE,
            text=True,
            env=languages.tools_environment(),
        )
        self.address = json.loads(self.process.stdout.readline())["address"]

    def end(self) -> list[dict]:
        """Ends it. The calls that came: `token`, and `at` in seconds."""
        self.process.terminate()
        calls = [json.loads(line) for line in self.process.stdout]
        self.process.wait(timeout=10)
        return calls
