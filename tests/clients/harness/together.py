"""The scenarios that all programs play together, and what concerns none of them alone."""

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack

from . import languages
from .processes import Gateway, Program
from .stage import Stage

SCENES = {}


def scene(name):
    def note(function):
        SCENES[name] = function
        return function

    return note


class Company:
    """All stages, with what one of these scenarios needs; ended with it."""

    def __init__(self, stages: list[Stage]):
        self.stages, self.ending, self.wrong = stages, ExitStack(), []
        self.sandbox, self.run = stages[0].sandbox, stages[0].run

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ending.close()
        self.sandbox.clear_faults()

    def check(self, holds, otherwise: str):
        if not holds:
            self.wrong.append(otherwise)

    def gateway(self, name: str, *settings, listen="127.0.0.1:0") -> Gateway:
        first = self.stages[0]
        gateway = Gateway(first.binary, first.work.parent, name, self.sandbox, settings, listen=listen)
        self.ending.callback(gateway.stop)
        return gateway

    def program(self, stage: Stage, address: str, wrapper=()) -> Program:
        return self.ending.enter_context(Program(stage.language, address, wrapper=wrapper))


def backup(answer) -> str:
    return answer.get("response", {}).get("volumeBackup", {}).get("id", json.dumps(answer))


@scene("the same token from every language, at once and later, is one backup")
def one_token(company: Company):
    # Two replicas, which know nothing of each other.
    one, other = company.gateway("replica-1"), company.gateway("replica-2")
    addresses = [one.address, other.address]
    programs = [
        company.program(stage, addresses[number % 2]) for number, stage in enumerate(company.stages)
    ]

    def call(name):
        token = f"{name}-{company.run}"
        request = {"volumeId": f"ocid1.volume.oc1.iad.{name}{company.run}", "retryToken": token}
        # Every language writes what is not ASCII, numbers and maps in its own order, and it is the same call.
        tags = {"Ägare": {"Kostnad": 42, "Andel": 0.5, "Namn": "東京"}, "B": {"a": True}}
        request |= {"displayName": "från alla", "freeformTags": {"b": "1", "a": "2", "ö": "3"}, "definedTags": tags}
        return token, {"rpc": "CreateVolumeBackup", "request": request, "timeoutMs": 20000}

    def settle(what, token, answers):
        company.check(len(answers) == 1, f"{what}: {len(answers)} different answers: {answers}")
        commits = company.sandbox.commits().get(token)
        company.check(commits == 1, f"{what}: {commits} backups")

    token, at_once = call("allatonce")
    stall = {"stall": {"at": "before_commit", "ms": 300}}
    company.sandbox.add_faults([{"retry_token": token, "fault": stall}])
    for program in programs:
        program.tell(at_once)
    settle("at once", token, {backup(program.hear()) for program in programs})
    settle("once more", token, {backup(program.ask(at_once)) for program in programs})

    for one, other in zip(programs, programs[1:] + programs[:1]):
        token, later = call(f"{one.language.name}{other.language.name}")
        what = f"{one.language.name}, then {other.language.name}"
        settle(what, token, {backup(one.ask(later)), backup(other.ask(later))})


# The names that one process sees: nothing of the machine's is touched.
HOSTS = 'mount --bind "$0" /etc/hosts && exec "$@"'


def with_hosts(company: Company, lines: list[str]):
    hosts = company.stages[0].work.parent / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{line}\n" for line in lines))
    as_root = [] if os.getuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *as_root, "sh", "-c", HOSTS, hosts]


def free_port(addresses) -> int:
    """One that is free at every address."""
    for _ in range(50):
        with ExitStack() as sockets:
            port = 0
            try:
                for address in addresses:
                    taken = sockets.enter_context(socket.socket())
                    taken.bind((address, port))
                    port = taken.getsockname()[1]
                return port
            except OSError:
                continue
    raise RuntimeError("no port is free at all of " + ", ".join(addresses))


@scene("three gateways behind one name: each takes its share, and none is missed when one drains and comes back")
def spread(company: Company):
    addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    port = free_port(addresses)
    gateways = [
        company.gateway(f"balanced-{number}", listen=f"{address}:{port}") for number, address in enumerate(addresses, 1)
    ]
    wrapper = with_hosts(company, [f"{address} gateways.test" for address in addresses])
    programs = {
        stage: company.program(stage, f"dns:///gateways.test:{port}", wrapper) for stage in company.stages
    }

    def prefix(stage):
        return f"spread{stage.run}"

    def load(stage, **more):
        given = {"rpc": "CreateVolumeBackup", "prefix": prefix(stage), "atOnce": 4, "timeoutMs": 20000}
        return {"load": given | more}

    for stage, program in programs.items():
        program.tell(load(stage, prefix=f"warm{stage.run}", calls=12))
    for program in programs.values():
        program.hear()
    for stage, program in programs.items():
        program.tell(load(stage, forMs=6000))
    time.sleep(2)
    drained = now()
    gateways[1].tell(signal.SIGTERM)
    gateways[1].process.wait(timeout=15)
    gone = now()
    time.sleep(0.5)
    gateways[1].restart()
    for stage, program in programs.items():
        told, name = program.hear(), stage.language.name
        company.check(set(told["codes"]) == {"OK"}, f"{name}: {told}")
        company.check(told["backups"] == told["calls"], f"{name}: {told['backups']} backups of {told['calls']} calls")
        served = [[line["timestamp"] for line in gateway.calls(prefix(stage))] for gateway in gateways]
        before = [sum(at < drained for at in times) for times in served]
        share = [round(count / max(1, sum(before)), 2) for count in before]
        company.check(all(0.2 < part < 0.5 for part in share), f"{name}: the gateways' shares were {share} of {sum(before)}")
        company.check(any(at > gone for at in served[1]), f"{name}: the gateway that came back was not found")


def now() -> str:
    """As the log writes it."""
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}Z"


@scene("buf curl, which knows no proto, learns it by reflection and shows the details of errors")
def by_reflection(company: Company):
    gateway = company.gateway("reflected")
    buf = languages.need_buf()

    def curl(rpc, request):
        command = [buf, "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--reflect", "--data", json.dumps(request)]
        command.append(f"http://{gateway.address}/ocibackup.v1.BackupService/{rpc}")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return json.loads(done.stdout if done.returncode == 0 else done.stderr)

    tags = {"Operations": {"CostCenter": 42}}
    made = curl("CreateVolumeBackup", {"volume_id": "ocid1.volume.oc1.iad.curl", "defined_tags": tags})
    company.check(made.get("volumeBackup", {}).get("definedTags") == tags, f"{made}")
    missing = curl("CreateBootVolumeBackup", {"boot_volume_id": "ocid1.bootvolume.oc1.iad.missing"})
    details = {detail["type"]: detail.get("debug") for detail in missing.get("details", [])}
    wanted = {"google.rpc.ErrorInfo", "google.rpc.RequestInfo", "google.rpc.ResourceInfo"}
    company.check(missing.get("code") == "not_found" and wanted <= set(details), f"{missing}")
    wrong = curl("CreateVolumeBackup", {"volume_id": "nonsense", "retry_token": " "})
    company.check("google.rpc.BadRequest" in json.dumps(wrong), f"{wrong}")


@scene("stubs by plain grpcio-tools, and OCI's own SDK, in one process")
def beside_the_sdk(company: Company):
    command = [languages.need_tools(), languages.ROOT / "tests/clients/sdk.py"]
    environment = languages.tools_environment()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    company.check(done.returncode == 0, done.stderr)
