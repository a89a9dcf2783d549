"""The scenarios that are data: scenarios.json, and the rows of errors.json."""

import json
from collections import Counter

from . import compare, languages
from .processes import StandIn
from .stage import Stage

HERE = languages.ROOT / "tests/clients"


def scenarios() -> list[dict]:
    return json.loads((HERE / "scenarios.json").read_text(encoding="utf-8"))


def play(stage: Stage, scenario: dict):
    """A scenario has calls, each with the answer that is expected; a list in their place are calls that begin at once. It may
    have faults, settings of a gateway of its own, and counts by retry token: `seen` calls of the gateway and `codes`, how
    its log says that they ended, `attempts` at the sandbox, `commits` there. `same` is a path that is the same in all answers."""
    lengths = (200, 250, 256, 66000)
    words = {f"{{{length} letters}}": "x" * length for length in lengths}
    words |= {"{run}": stage.run, "{long}": "ä→🦀 " * 400}
    scenario = compare.fill(scenario, words)
    gateway, client = stage.common, stage.client
    if "gateway" in scenario:
        gateway = stage.gateway(*scenario["gateway"])
        client = warm(stage, gateway)
    stage.sandbox.add_faults(scenario.get("faults", []))

    same = set()
    for number, told in enumerate(scenario["calls"], 1):
        calls = told if isinstance(told, list) else [told]
        plain = [{key: value for key, value in call.items() if key != "expect"} for call in calls]
        answers = client.ask(plain) if isinstance(told, list) else [client.ask(plain[0])]
        for call, answer in zip(calls, answers, strict=True):
            stage.answer(call, answer, call["expect"], f"call {number}: ")
            if answer["code"] == "OK":
                same.add(pick(answer, scenario.get("same", "code")))
    stage.check(len(same) < 2, f"{scenario.get('same')} is not the same: {same}")
    count(stage, gateway, scenario)


def warm(stage: Stage, gateway):
    """A program that has connected, compiled and had an answer: a deadline is then that of the call alone."""
    client = stage.program(gateway.address)
    client.ask(stage.call(f"warm{gateway.name}"))
    return client


def pick(value, path):
    for name in path.split("."):
        value = value[name]
    return value


def count(stage: Stage, gateway, scenario):
    for what, found in [
        ("attempts", stage.sandbox.attempts),
        ("commits", stage.sandbox.commits),
        ("seen", lambda: {token: len(gateway.calls(token)) for token in scenario["seen"]}),
    ]:
        if what in scenario:
            found = found()
            for token, times in scenario[what].items():
                stage.check(found.get(token, 0) == times, f"{what} of {token}: {found.get(token, 0)}, not {times}")
    for token, wanted in scenario.get("codes", {}).items():
        ended = sorted(line["code"] for line in gateway.calls(token))
        stage.check(ended == wanted, f"the gateway says that {token} ended with {ended}, not {wanted}")


# A row's answer, where it is not over before, is that of the last attempt that the deadline leaves time for.
ROW_TIMEOUT_MS = 4000


def rows():
    """Name, fault, and the answer: of OCI's errors, and of what the gateway makes of other answers."""
    told = json.loads((HERE / "errors.json").read_text(encoding="utf-8"))
    for status, code, grpc, reason, outcome, details in told["oci"]:
        answer = {"status": status, "code": code, "message": "OCI's own words"}
        if not code:
            # As proxies and load balancers answer.
            answer = {"status": status, "content_type": "text/html", "body": "<html>secret of the proxy</html>"}
        info = {"http_status": str(status), "oci_code": code or None, "outcome": outcome}
        message = "~OCI's own words" if code and not reason.startswith("HTTP_") else "~^(?!.*secret of the proxy)"
        expected = expectation(grpc, "oci.oraclecloud.com", reason, info, details) | {"message": message}
        yield f"{status} {code}".strip(), {"answer": answer}, expected
    for name, fault, grpc, reason, outcome, details in told["gateway"]:
        yield name, fault, expectation(grpc, "oci-backup-gateway", reason, {"outcome": outcome}, details)


def rows_of_the_stand_in():
    """Name, what the stand-in answers, and the answer: rows that no library of these brings about, and no sandbox."""
    told = json.loads((HERE / "errors.json").read_text(encoding="utf-8"))
    for number, (name, grpc, domain, reason, more) in enumerate(told["stand_in"]):
        info = {"operation": "CreateVolumeBackup", "attempts": "1"} | more
        details = [
            {"@type": "ErrorInfo", "domain": domain, "reason": reason, "metadata": info},
            {"@type": "RequestInfo", "requestId": f"id-{number}"},
        ]
        metadata = {"grpc-retry-pushback-ms": "-1", "opc-request-id": f"id-{number}"}
        expected = expectation(grpc, domain, reason, info, []) | {"requestId": f"id-{number}"}
        yield name, {"code": grpc, "message": name, "metadata": metadata, "details": details}, expected


def expectation(code, domain, reason, info, details):
    return {
        "code": code,
        "domain": domain,
        "reason": reason,
        "errorMetadata": {"operation": "CreateVolumeBackup"} | info,
        "violations": None,
        "retryAfterMs": 1000 if "RetryInfo" in details else None,
        "quotaViolations": [{"subject": "~.", "description": "~quota"}] if "QuotaFailure" in details else None,
        "resource": {"resourceType": "volume", "resourceName": "~^ocid1"} if "ResourceInfo" in details else None,
        "pushbackMs": -1,
    }


def play_rows_of_the_stand_in(stage: Stage):
    found = list(rows_of_the_stand_in())
    calls = [stage.call(f"stoodin{number}") for number in range(len(found))]
    stand_in = StandIn({call["request"]["retryToken"]: [answer] for call, (_, answer, _) in zip(calls, found)})
    stage.scene.callback(stand_in.process.kill)
    answers = stage.program(stand_in.address).ask(calls)
    for call, answer, (name, _, expected) in zip(calls, answers, found, strict=True):
        stage.answer(call, answer, expected, f"{name}: ")
    came = Counter(call["token"] for call in stand_in.end())
    stage.check(set(came.values()) == {1} and len(came) == len(found), f"the library repeated calls: {came}")


def play_rows(stage: Stage):
    """All rows at once: most of them fail, but not so many that the breaker of the gateway opens."""
    gateway = stage.gateway()
    client = warm(stage, gateway)
    found = list(rows())
    calls = [stage.call(f"row{number}", timeoutMs=ROW_TIMEOUT_MS) for number in range(len(found))]
    stage.sandbox.add_faults(
        [
            {"retry_token": call["request"]["retryToken"], "times": "forever", "fault": fault}
            for call, (_, fault, _) in zip(calls, found)
        ]
    )
    answers = client.ask(calls)
    attempts, seen = stage.sandbox.attempts(), Counter(line["opc_retry_token"] for line in gateway.calls("row"))
    for call, answer, (name, _, expected) in zip(calls, answers, found, strict=True):
        token = call["request"]["retryToken"]
        expected = expected | {"metadata": {"opc-retry-token": token, "opc-request-id": "~."}}
        stage.answer(call, answer, expected, f"{name}: ")
        told, made = answer.get("errorMetadata", {}).get("attempts"), attempts.get(token, 0)
        stage.check(told == str(made), f"{name}: the answer speaks of {told} attempts, and OCI saw {made}")
        stage.check(seen[token] == 1, f"{name}: the library repeated the call")
