"""Where one language's program plays: an OCI and a gateway of its own, and what has to be ended after a scenario."""

import contextlib
import json
import subprocess
import time
from pathlib import Path

from . import compare, languages
from .processes import Gateway, Program, Sandbox

# What a library is told in scenarios that want to see the gateway's first answer.
WITHOUT_RETRIES = languages.ROOT / "tests/clients/without-retries.json"
# What it is told in those that call a gateway which says that it does not serve.
WITHOUT_HEALTH = languages.ROOT / "tests/clients/without-health.json"


class Stage:
    def __init__(self, language: languages.Language, binary: Path, work: Path, run: str):
        self.language, self.binary, self.work, self.run = language, binary, work, run
        self.work.mkdir()
        self.count = 0
        # What was seen in each scenario, to be compared with the other languages'.
        self.seen: dict[str, list] = {}
        self.whole = contextlib.ExitStack()
        self.scene = contextlib.ExitStack()
        self.wrong: list[str] = []

    def open(self):
        self.sandbox = Sandbox(self.binary, self.work, "oci")
        self.whole.callback(self.sandbox.stop)
        self.common = Gateway(self.binary, self.work, "gateway", self.sandbox)
        self.whole.callback(self.common.stop)
        self.client = self.whole.enter_context(Program(self.language, self.common.address))

    def close(self):
        self.whole.close()

    def begin(self, name: str):
        self.name, self.wrong = name, []
        self.seen[name] = []

    def end(self):
        self.scene.close()
        self.sandbox.clear_faults()

    # What a scenario asks for.

    def gateway(self, *settings, **more) -> Gateway:
        self.count += 1
        name = f"gateway-{self.count}"
        gateway = Gateway(self.binary, self.work, name, more.pop("sandbox", self.sandbox), settings, **more)
        self.scene.callback(gateway.stop)
        return gateway

    def program(self, gateway: str, *flags, wrapper=()) -> Program:
        return self.scene.enter_context(Program(self.language, gateway, flags, wrapper))

    def once(self, gateway: str, *flags) -> Program:
        """A program whose library repeats nothing, and asks for no health."""
        return self.program(gateway, "--service-config", WITHOUT_RETRIES, *flags)

    def regardless(self, gateway: str) -> Program:
        """A program whose library asks for no health."""
        return self.program(gateway, "--service-config", WITHOUT_HEALTH)

    def command(self, *arguments) -> subprocess.CompletedProcess:
        """The program as people start it; `took` is how long it ran."""
        began = time.monotonic()
        done = subprocess.run(
            [str(word) for word in [*self.language.command, *arguments]],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        done.took = time.monotonic() - began
        return done

    # What a scenario finds.

    def check(self, holds, otherwise: str):
        if not holds:
            self.wrong.append(otherwise)

    def answer(self, call, answer, expected, what="", compared=True):
        """Holds an answer against what is expected, against what always holds, and keeps it for the comparison."""
        found = list(compare.mismatches(expected, answer)) + list(compare.always(call, answer))
        self.wrong += [f"{what}{line}" for line in found]
        if found:
            self.wrong.append(f"{what}the answer was {json.dumps(answer, ensure_ascii=False)[:1500]}")
        if compared:
            own = {self.run: "{run}", str(self.work): "{work}"}
            self.seen[self.name].append(compare.normalised(answer, own))

    def token(self, name: str) -> str:
        return f"{name}-{self.run}"

    def call(self, name: str, rpc="CreateVolumeBackup", request=None, **more) -> dict:
        """A call with a volume and a token that have this name."""
        field, kind = ("volumeId", "volume") if rpc == "CreateVolumeBackup" else ("bootVolumeId", "bootvolume")
        given = {field: f"ocid1.{kind}.oc1.iad.{name}{self.run}", "retryToken": self.token(name)}
        return {"rpc": rpc, "request": given | (request or {}), **more}
