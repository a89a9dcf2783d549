"""The scenarios that are code, because something has to be restarted, drained, shut or set up otherwise on the way. Each
plays one program; a function's name says for whom it is, the text of `scene` what has to hold."""

import json
import re
import signal
import socket
import time

from . import certificates, compare
from .processes import Door, StandIn, TlsListener, wait_until
from .stage import Stage

SCENES = {}


def scene(name):
    def note(function):
        SCENES[name] = function
        return function

    return note


def of_the_gateway(code, reason, outcome="NOT_STARTED", **more):
    """What the gateway answers by itself."""
    return {"code": code, "domain": "oci-backup-gateway", "reason": reason, "errorMetadata": {"outcome": outcome}} | more


POSITIVE = {"pushbackMs": "<>[1, 30000]", "decision": "REPEAT"}
NEVER = {"pushbackMs": -1}


# Rows of the error table that want another setting.


@scene("a name that does not resolve: UPSTREAM_DNS")
def no_such_name(stage: Stage):
    gateway = stage.gateway(endpoint="https://no-such-host.invalid")
    call = stage.call("dns", timeoutMs=9000)
    expected = of_the_gateway("UNAVAILABLE", "UPSTREAM_DNS", retryAfterMs=1000, **POSITIVE)
    stage.answer(call, stage.once(gateway.address).ask(call), expected)


@scene("nobody listens at OCI's address: UPSTREAM_CONNECT, and the library comes again when it was told to")
def refused(stage: Stage):
    door = Door(stage.sandbox.address("OCI"))
    stage.scene.callback(door.close)
    gateway = stage.gateway(endpoint=door.address)
    call = stage.call("refused", timeoutMs=8000)
    expected = of_the_gateway("UNAVAILABLE", "UPSTREAM_CONNECT", retryAfterMs=1000, **POSITIVE)
    stage.answer(call, stage.once(gateway.address).ask(call), expected)

    call = stage.call("opened", timeoutMs=15000)
    token = call["request"]["retryToken"]
    client = stage.program(gateway.address)
    client.tell(call)
    wait_until(lambda: gateway.calls(token), "the first answer")
    failed_at = time.monotonic()
    door.open()
    stage.answer(call, client.hear(), {"code": "OK"})
    waited = time.monotonic() - failed_at
    stage.check(0.8 <= waited <= 2.5, f"the library came again after {waited:.2f} s, and was told 1 s")
    stage.check(len(gateway.calls(token)) == 2, f"{len(gateway.calls(token))} calls came to the gateway, not 2")
    stage.check(stage.sandbox.commits().get(token) == 1, "there is not one backup")


@scene("a certificate of OCI's that nobody trusts: UPSTREAM_TLS, and no library repeats that")
def not_trusted(stage: Stage):
    files = certificates.make(stage.work.parent / "certificates")
    listener = TlsListener(files / "stranger.pem", files / "stranger.key")
    stage.scene.callback(listener.close)
    gateway = stage.gateway("--cert-bundle", files / "ca.pem", endpoint=listener.address)
    call = stage.call("tls")
    expected = of_the_gateway("UNAVAILABLE", "UPSTREAM_TLS", retryAfterMs=None, decision="STOP", **NEVER)
    # It has never heard of OCI and is not ready.
    stage.answer(call, stage.regardless(gateway.address).ask(call), expected)
    stage.check(len(gateway.calls(stage.token("tls"))) == 1, "the library repeated the call")


@scene("no attempt is answered in its time: UPSTREAM_TIMEOUT")
def unanswered(stage: Stage):
    gateway = stage.gateway("--attempt-timeout", "200ms")
    call = stage.call("unanswered", timeoutMs=15000)
    token = call["request"]["retryToken"]
    stall = {"stall": {"at": "after_commit", "ms": 1500}}
    stage.sandbox.add_faults([{"retry_token": token, "times": "forever", "fault": stall}])
    expected = of_the_gateway("UNAVAILABLE", "UPSTREAM_TIMEOUT", "UNKNOWN", retryAfterMs=1000, decision="REPEAT", **NEVER)
    expected["errorMetadata"]["attempts"] = "5"
    stage.answer(call, stage.program(gateway.address).ask(call), expected)
    stage.check(len(gateway.calls(token)) == 1, "the library repeated the call")


@scene("nearly all failed for a while: BREAKER_OPEN, and a call ends in its time nevertheless")
def broken(stage: Stage):
    door = Door(stage.sandbox.address("OCI"))
    stage.scene.callback(door.close)
    gateway = stage.gateway(endpoint=door.address)
    once = stage.once(gateway.address)
    once.ask([stage.call(f"breaking{number}", timeoutMs=5000) for number in range(24)])
    # The library would have to wait longer than the call may last: it is told not to, and the caller hears why at once.
    call = stage.call("inTime", timeoutMs=5000)
    more = NEVER | {"decision": "REPEAT", "retryAfterMs": "<>[20000, 30000]", "tookMs": "<>[0, 1600]"}
    answer = stage.program(gateway.address).ask(call)
    stage.answer(call, answer, of_the_gateway("UNAVAILABLE", "BREAKER_OPEN", **more), compared=False)
    stage.check(len(gateway.calls(stage.token("inTime"))) == 1, "the library repeated the call")


@scene("the gateway shuts down while another attempt would have to wait, or is on its way: DRAINING")
def draining(stage: Stage):
    gateway = stage.gateway("--drain-timeout", "5s")
    call = stage.call("draining", timeoutMs=20000)
    token = call["request"]["retryToken"]
    fault = {"answer": {"status": 503, "headers": {"retry-after": "8"}}}
    stage.sandbox.add_faults([{"retry_token": token, "times": "forever", "fault": fault}])
    client = stage.once(gateway.address)
    client.tell(call)
    wait_until(lambda: stage.sandbox.attempts().get(token), "an attempt at OCI")
    time.sleep(0.2)
    gateway.tell(signal.SIGTERM)
    expected = of_the_gateway("UNAVAILABLE", "DRAINING", "UNKNOWN", retryAfterMs=1000, **POSITIVE)
    stage.answer(call, client.hear(), expected)

    # And of an attempt that is on its way when the drain's time is up.
    gateway = stage.gateway("--drain-timeout", "300ms")
    call = stage.call("cut", timeoutMs=20000)
    token = call["request"]["retryToken"]
    stage.sandbox.add_faults([{"retry_token": token, "fault": {"stall": {"at": "before_commit", "ms": 3000}}}])
    client = stage.once(gateway.address)
    client.tell(call)
    wait_until(lambda: stage.sandbox.attempts().get(token), "an attempt at OCI")
    gateway.tell(signal.SIGTERM)
    stage.answer(call, client.hear(), expected)


@scene("there is no place for another call: OVERLOADED, and the library comes again when it was told to")
def overloaded(stage: Stage):
    gateway = stage.gateway("--max-in-flight", "1")

    def occupy(name, ms):
        call = stage.call(name)
        token = call["request"]["retryToken"]
        stage.sandbox.add_faults([{"retry_token": token, "fault": {"stall": {"at": "before_commit", "ms": ms}}}])
        other = stage.program(gateway.address)
        other.tell(call)
        wait_until(lambda: stage.sandbox.attempts().get(token), "the call that takes the place")
        return lambda: stage.answer(call, other.hear(), {"code": "OK"})

    once, patient = stage.once(gateway.address), stage.program(gateway.address)
    for client in (once, patient):
        client.ask(stage.call(f"before{id(client)}"))
    settle = occupy("occupying", 800)
    call = stage.call("shed", metadata={"opc-retry-token": stage.token("shed")})
    expected = of_the_gateway("RESOURCE_EXHAUSTED", "OVERLOADED", retryAfterMs="<>[500, 1500]", **POSITIVE)
    stage.answer(call, once.ask(call), expected)
    settle()

    settle = occupy("occupyingAgain", 400)
    call = stage.call("patient", metadata={"opc-retry-token": stage.token("patient")})
    stage.answer(call, patient.ask(call), {"code": "OK", "tookMs": "<>[450, 4000]"})
    settle()
    seen = len(gateway.calls(stage.token("patient")))
    stage.check(seen == 2, f"{seen} calls came to the gateway, not 2")
    stage.check(stage.sandbox.attempts().get(stage.token("patient")) == 1, "OCI saw the call more than once")


@scene("the same token at once with other content: one is made, one is RETRY_TOKEN_REUSED")
def reused(stage: Stage):
    token = stage.token("reused")
    stage.sandbox.add_faults([{"retry_token": token, "fault": {"stall": {"at": "before_commit", "ms": 600}}}])
    calls = [stage.call("reused", request={"displayName": name}) for name in ("one", "other")]
    answers = stage.client.ask(calls)
    made, refused = sorted(zip(calls, answers), key=lambda pair: pair[1]["code"] != "OK")
    stage.answer(*made, {"code": "OK"}, compared=False)
    stage.answer(*refused, of_the_gateway("INVALID_ARGUMENT", "RETRY_TOKEN_REUSED", retryAfterMs=None, decision="STOP", **NEVER))
    stage.check(stage.sandbox.commits().get(token) == 1, "there is not one backup")


@scene("the gateway's token has expired: CREDENTIAL_UNAVAILABLE")
def without_credential(stage: Stage):
    session = stage.sandbox.send("POST", "/sandbox/issuers/sessions", {"kind": "user", "life_seconds": 2})
    config, folder = stage.sandbox.files / "config", stage.work / "session"
    folder.mkdir()
    for name, text in [("token", session["token"]), ("key.pem", session["private_key_pem"])]:
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    tenancy = re.search(r"^tenancy *= *(\S+)", config.read_text(), re.MULTILINE)[1]
    mine = [f"tenancy={tenancy}", "region=us-ashburn-1", f"key_file={folder / 'key.pem'}", f"security_token_file={folder / 'token'}"]
    (folder / "config").write_text("[DEFAULT]\n" + "\n".join(mine) + "\n")
    (folder / "config").chmod(0o600)
    gateway = stage.gateway("--auth", "security_token", config=folder / "config")
    once, usual = stage.once(gateway.address), stage.program(gateway.address)
    time.sleep(2.2)
    call = stage.call("credential")
    expected = of_the_gateway("UNAVAILABLE", "CREDENTIAL_UNAVAILABLE", retryAfterMs=1000, decision="REPEAT", **NEVER)
    stage.answer(call, once.ask(call), expected)
    # Who asks for the gateway's health leaves it alone, and waits for one that serves.
    call = stage.call("unhealthy", timeoutMs=1000)
    ended = {"code": "~^(UNAVAILABLE|DEADLINE_EXCEEDED)$", "decision": "REPEAT", "tookMs": "<>[0, 1600]"}
    stage.answer(call, usual.ask(call), ended, compared=False)


# What a library repeats.


@scene("the library repeats what it may, when it may: pushback, none, -1, nonsense")
def retries(stage: Stage):
    unavailable = {"code": "UNAVAILABLE"}

    def pushed(value):
        return unavailable | {"metadata": {"grpc-retry-pushback-ms": value}}

    script = {
        "waits": [pushed("700"), {}],
        "stops": [pushed("-1"), {}],
        "nonsense": [pushed("soon"), {}],
        "backsOff": [unavailable, unavailable, {}],
        "fiveTimes": [pushed("40")],
        "notThis": [{"code": "ABORTED"}, {}],
        "exhausted": [{"code": "RESOURCE_EXHAUSTED", "metadata": {"grpc-retry-pushback-ms": "40"}}, {}],
    }
    came = {"waits": 2, "stops": 1, "nonsense": 1, "backsOff": 3, "fiveTimes": 5, "notThis": 1, "exhausted": 2}
    ends = {"stops": "UNAVAILABLE", "nonsense": "UNAVAILABLE", "fiveTimes": "UNAVAILABLE", "notThis": "ABORTED"}
    stand_in = StandIn(script)
    stage.scene.callback(stand_in.process.kill)
    client = stage.program(stand_in.address)
    answers = {}
    for name in script:
        call = {"rpc": "CreateVolumeBackup", "request": {"volumeId": "ocid1.volume.oc1.iad.x", "retryToken": name}}
        answers[name] = client.ask(call | {"timeoutMs": 10000})
        code = answers[name]["code"]
        stage.check(code == ends.get(name, "OK"), f"{name}: {json.dumps(answers[name])}")
    calls = stand_in.end()
    times = {name: [call["at"] for call in calls if call["token"] == name] for name in script}
    for name, count in came.items():
        stage.check(len(times[name]) == count, f"{name}: {len(times[name])} calls came, not {count}")
    waited = times["waits"][-1] - times["waits"][0]
    stage.check(0.68 <= waited <= 1.2, f"waits: {waited:.2f} s, and was told 0.7 s")
    pauses = [later - earlier for earlier, later in zip(times["backsOff"], times["backsOff"][1:])]
    stage.check(all(pause < 0.7 for pause in pauses), f"backsOff: the pauses were {pauses}")
    words = answers["stops"]["words"]
    stage.check(compare.NO_ANSWER in words, f"stops: {words}")


@scene("what is said and advised where no gateway's answer came, where nobody knows a token, and where details are broken")
def explained(stage: Stage):
    never = {"grpc-retry-pushback-ms": "-1"}

    def error(code, *details, **more):
        told = {"code": code, "metadata": never | more.pop("metadata", {})} | more
        return told | ({"details": list(details)} if details else {})

    def info(outcome, reason="SOMETHING", **more):
        metadata = {"outcome": outcome, "attempts": "1"} | more
        return {"@type": "ErrorInfo", "domain": "oci-backup-gateway", "reason": reason, "metadata": metadata}

    request_info, same_id = {"@type": "RequestInfo", "requestId": "one"}, {"metadata": {"opc-request-id": "one"}}
    no_token = {"@type": "BadRequest", "fieldViolations": [{"field": "retry_token", "description": "give one"}]}

    def told(became, advice, decision="REPEAT", **more):
        return {"decision": decision, "words": f"~; {became}; {advice}"} | more

    no_answer, made, nothing = compare.NO_ANSWER, compare.MAY_HAVE_BEEN_MADE, compare.MADE_NOTHING
    repeat, look = "repeat with the retry token {token} in 1000 ms$", "find out whether the backup exists before trying again"
    open_codes = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN", "INTERNAL", "RESOURCE_EXHAUSTED", "DATA_LOSS"]
    # What libraries make of a proxy's HTTP 401, 403 and 404.
    open_codes += ["UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED"]
    # Name: what the stand-in answers, and what is made of it.
    cases = {code: (error(code), told(no_answer, repeat)) for code in open_codes}
    cases |= {
        "INVALID_ARGUMENT": (error("INVALID_ARGUMENT"), told(nothing, "mend the cause before repeating$", "STOP")),
        "precondition": (error("FAILED_PRECONDITION"), told(nothing, f"{look}$", "STOP")),
        "lines": (error("UNAVAILABLE", message="one\ntwo"), told(no_answer, repeat, words="~^UNAVAILABLE: one two; no")),
        # Whole milliseconds, rounded down.
        "delay": (
            error("ABORTED", info("NOT_STARTED"), request_info, {"@type": "RetryInfo", "retryDelay": "1.999999999s"}, **same_id),
            told(nothing, "repeat with the retry token {token} in 1999 ms; opc-request-id one$", repeatAfterMs=1999),
        ),
        # Of the trailing metadata alone.
        "id": (
            error("UNAVAILABLE", metadata={"opc-request-id": "a proxy's"}),
            told(no_answer, repeat.replace("$", "; opc-request-id a proxy's$"), requestId=None),
        ),
        "told": (
            error("INTERNAL", metadata={"opc-retry-token": "another"}),
            told(no_answer, "repeat with the retry token another in 1000 ms$"),
        ),
        "notStatus": (error("UNAVAILABLE", status="ff"), told(no_answer, repeat, domain=None)),
        "notDetails": (
            error("INVALID_ARGUMENT", {"@type": "ErrorInfo", "hex": "0aff"}, {"@type": "BadRequest", "hex": "ff"}),
            told(nothing, "mend the cause before repeating$", "STOP", domain=None, violations=None),
        ),
        "oneNotDetail": (
            error("UNAVAILABLE", {"@type": "RetryInfo", "hex": "0aff"}, info("UNKNOWN"), request_info, **same_id),
            told(made, repeat.replace("$", "; opc-request-id one$"), retryAfterMs=None, reason="SOMETHING"),
        ),
    }
    # Of calls without a token in the field: their names are those of metadata, or there is none.
    tokenless = [
        (error("UNAVAILABLE"), told(no_answer, f"{look}$", "STOP")),
        (
            error("INVALID_ARGUMENT", info("UNKNOWN", "INVALID_REQUEST"), request_info, no_token, **same_id),
            told(made, f"{look}; opc-request-id one$", "STOP", violations=[{"field": "retry_token"}]),
        ),
        (
            error("ABORTED", info("NOT_STARTED"), request_info, {"@type": "RetryInfo", "retryDelay": "1s"}, **same_id),
            told(nothing, "mend the cause before repeating; opc-request-id one$", "STOP", repeatAfterMs=None),
        ),
    ]
    script = {name: [answer] for name, (answer, _) in cases.items()}
    script |= {"inMetadata": [error("UNAVAILABLE")], "": [answer for answer, _ in tokenless]}
    stand_in = StandIn(script)
    stage.scene.callback(stand_in.process.kill)
    client = stage.program(stand_in.address)

    def play(name, expected, token=None, **more):
        request = {"volumeId": "ocid1.volume.oc1.iad.x"} | ({"retryToken": token} if token else {})
        call = {"rpc": "CreateVolumeBackup", "request": request, "timeoutMs": 10000, **more}
        expected = compare.fill(expected, {"{token}": name})
        stage.answer(call, client.ask(call), expected, f"{name or 'no token'}: ")

    for name, (answer, expected) in cases.items():
        play(name, {"code": answer["code"]} | expected, token=name)
    play("inMetadata", told(no_answer, repeat), metadata={"opc-retry-token": "inMetadata"})
    for answer, expected in tokenless:
        play("", {"code": answer["code"]} | expected)
    came = [call["token"] for call in stand_in.end()]
    stage.check(len(came) == len(cases) + 1 + len(tokenless), f"the library repeated a call: {came}")


@scene("the first try was cut after it had come, and the next one is refused: nobody says that nothing was made")
def refused_later(stage: Stage):
    first, second = stage.gateway(), stage.gateway()
    door = Door(first.address)
    stage.scene.callback(door.close)
    door.open()
    call = stage.call("cutThenRefused", timeoutMs=15000)
    token = call["request"]["retryToken"]
    refusal = {"answer": {"status": 401, "code": "NotAuthenticated"}}
    stage.sandbox.add_faults(
        [
            {"retry_token": token, "fault": {"stall": {"at": "before_commit", "ms": 1500}}},
            {"retry_token": token, "times": "forever", "fault": refusal},
        ]
    )
    client = stage.program(door.address.removeprefix("http://"))
    client.tell(call)
    wait_until(lambda: stage.sandbox.attempts().get(token), "the first try at OCI")
    door.cut(second.address)
    expected = {"code": "UNAUTHENTICATED", "domain": "oci.oraclecloud.com", "errorMetadata": {"outcome": "UNKNOWN"}}
    expected |= {"decision": "REPEAT", "words": f"~; {compare.MAY_HAVE_BEEN_MADE}; repeat with the retry token", **NEVER}
    stage.answer(call, client.hear(), expected)
    stage.check(len(second.calls(token)) == 1, f"{len(second.calls(token))} tries came to the second gateway, not 1")
    made = wait_until(lambda: stage.sandbox.commits().get(token), "the first try's backup")
    stage.check(made == 1, f"{made} backups")


@scene("a call without a token was cut after it had come: the library's next try is refused, and there is one backup")
def repeated_without_token(stage: Stage):
    first, second = stage.gateway(), stage.gateway()
    door = Door(first.address)
    stage.scene.callback(door.close)
    door.open()
    call = stage.call("noToken", rpc="CreateBootVolumeBackup", timeoutMs=15000)
    del call["request"]["retryToken"]
    stall = {"stall": {"at": "before_commit", "ms": 1000}}
    stage.sandbox.add_faults([{"path": "/20160918/bootVolumeBackups", "times": "forever", "fault": stall}])
    client = stage.program(door.address.removeprefix("http://"))
    before, made = set(stage.sandbox.attempts()), set(stage.sandbox.commits())
    client.tell(call)
    wait_until(lambda: set(stage.sandbox.attempts()) - before, "the first try at OCI")
    door.cut(second.address)
    expected = of_the_gateway("INVALID_ARGUMENT", "INVALID_REQUEST", "UNKNOWN", retryAfterMs=None, **NEVER)
    expected |= {"violations": [{"field": "retry_token"}], "decision": "STOP", "words": "~; find out whether the backup exists"}
    stage.answer(call, client.hear(), expected)
    wait_until(lambda: set(stage.sandbox.commits()) - made, "the first try's backup")
    tries = set(stage.sandbox.attempts()) - before
    stage.check(len(tries) == 1, f"OCI saw {len(tries)} tries, each under a token of its own")


@scene("an enum value and a field that the client does not know")
def newer(stage: Stage):
    stand_in = StandIn({"newer": [{"lifecycleState": 42, "unknownField": True}]})
    stage.scene.callback(stand_in.end)
    call = {"rpc": "CreateVolumeBackup", "request": {"volumeId": "ocid1.volume.oc1.iad.x", "retryToken": "newer"}}
    answer = stage.program(stand_in.address).ask(call)
    backup = answer.get("response", {}).get("volumeBackup", {})
    stage.check(answer["code"] == "OK", json.dumps(answer))
    stage.check(backup.get("lifecycleState") == 42, f"the state is {backup.get('lifecycleState')!r}, not the number 42")
    stage.check(backup.get("id") == "ocid1.volumebackup.oc1.iad.standin", f"the backup is {backup}")


@scene("a gateway that sheds most of a load: OCI sees each call once, and the gateway hardly more than there are")
def shedding(stage: Stage):
    stall = {"stall": {"at": "before_commit", "ms": 100}}
    stage.sandbox.add_faults([{"path": "/20160918/bootVolumeBackups", "times": "forever", "fault": stall}])
    gateway = stage.gateway("--max-in-flight", "4")
    calls, prefix = 96, f"shedding{stage.run}"
    load = {"rpc": "CreateBootVolumeBackup", "prefix": prefix, "calls": calls, "atOnce": 32, "timeoutMs": 20000}
    told = stage.program(gateway.address).ask({"load": load})
    stage.check(set(told["codes"]) <= {"OK", "RESOURCE_EXHAUSTED"}, f"{told}")
    stage.check(told["calls"] == sum(told["codes"].values()) == calls, f"{told}")
    # Those that were shed are served when they come again, most of them: four at a time, 0.1 s each.
    stage.check(calls / 2 <= told["codes"].get("OK", 0) == told["backups"], f"{told}")
    commits = {token: count for token, count in stage.sandbox.commits().items() if token.startswith(prefix)}
    stage.check(all(count == 1 for count in commits.values()), f"backups by token: {commits}")
    stage.check(len(commits) == told["backups"], f"{len(commits)} backups, and {told['backups']} were told")
    attempts = sum(count for token, count in stage.sandbox.attempts().items() if token and token.startswith(prefix))
    stage.check(attempts <= calls, f"OCI saw {attempts} requests of {calls} calls")
    # The line of a call that was shed has no token: all of this gateway's calls are the load's.
    seen = sum(line["message"] == "call" for line in gateway.log())
    stage.check(calls < seen <= 2 * calls, f"the gateway saw {seen} calls of {calls}")


# Time, and connections that end.


@scene("a gateway that hangs: the deadline is the client's own, and the same call gets the backup")
def hanging(stage: Stage):
    gateway = stage.gateway()
    client = stage.program(gateway.address)
    client.ask(stage.call("connected"))
    gateway.tell(signal.SIGSTOP)
    call = stage.call("hanging", timeoutMs=700)
    answer = client.ask(call)
    gateway.tell(signal.SIGCONT)
    expected = {"code": "DEADLINE_EXCEEDED", "domain": None, "decision": "REPEAT", "repeatAfterMs": 1000}
    stage.answer(call, answer, expected | {"tookMs": "<>[680, 1200]"})
    call["timeoutMs"] = 10000
    stage.answer(call, client.ask(call), {"code": "OK"})
    stage.check(stage.sandbox.commits().get(stage.token("hanging")) == 1, "there is not one backup")


def under_load(stage: Stage, gateway, name: str, seconds: float, meanwhile, may_fail=frozenset()):
    """A load for a while, of which no call may fail, whatever happens meanwhile."""
    prefix, at_once = f"{name}{stage.run}", 4
    client = stage.program(gateway.address)
    load = {"rpc": "CreateVolumeBackup", "prefix": prefix, "forMs": int(seconds * 1000), "atOnce": at_once}
    client.ask(stage.call(f"before{name}"))
    client.tell({"load": load | {"timeoutMs": 20000}})
    meanwhile()
    told = client.hear()
    failed = told["calls"] - told["codes"].get("OK", 0)
    stage.check(set(told["codes"]) <= {"OK", *may_fail} and failed <= at_once, f"{told}")
    stage.check(told["calls"] > 10 and told["backups"] == told["calls"] - failed, f"{told}")
    commits = [count for token, count in stage.sandbox.commits().items() if token.startswith(prefix)]
    stage.check(set(commits) == {1}, "a call made more than one backup")
    return prefix


@scene("connections that are old make way under a load, without a failed call")
def aged(stage: Stage):
    gateway = stage.gateway("--max-connection-age", "700ms")
    prefix = under_load(stage, gateway, "aged", 2.5, lambda: None)
    peers = {line["peer"] for line in gateway.calls(prefix)}
    stage.check(len(peers) >= 3, f"the load came by {len(peers)} connections")


@scene("the gateway restarts at its address under a load, without a failed call")
def restarted(stage: Stage):
    gateway = stage.gateway()

    def restart():
        time.sleep(0.6)
        gateway.restart()

    prefix = under_load(stage, gateway, "restarted", 3.0, restart)
    starts = [line["timestamp"] for line in gateway.log() if line["message"] == "listening"]
    later = [line for line in gateway.calls(prefix) if line["timestamp"] > starts[-1]]
    stage.check(len(starts) == 2 and len(later) > 4, f"{len(later)} calls came after the restart")


@scene("the gateway is killed under a load and comes back after a while, without a second backup")
def killed(stage: Stage):
    gateway = stage.gateway()

    def kill():
        time.sleep(0.6)
        gateway.process.kill()
        # Longer than a library's own repetitions last: who is to be served has to wait for a gateway.
        time.sleep(2.5)
        gateway.restart()

    # grpc-java calls it UNKNOWN when a connection breaks while a call is written to it, and repeats nothing of that name.
    under_load(stage, gateway, "killed", 4.0, kill, may_fail={"UNKNOWN"})


# The command line.

SPOILED = re.compile(r"Traceback|panicked|Exception in|^\s+at |\n.*\n", re.MULTILINE)


def fails(stage: Stage, exit_code: int, about: str, *arguments, within=None):
    """One clear line on standard error about this, and nothing on standard output."""
    done = stage.command(*arguments)
    what = " ".join(str(word) for word in arguments)
    lines = done.stderr.splitlines()
    stage.check(done.returncode == exit_code, f"{what}: exit code {done.returncode}, not {exit_code}: {done.stderr[-500:]}")
    stage.check(len(lines) == 1 and not SPOILED.search(done.stderr), f"{what}: not one line:\n{done.stderr[-2000:]}")
    stage.check(re.search(about, done.stderr), f"{what}: does not speak of {about!r}: {done.stderr[-500:]}")
    stage.check(not done.stdout, f"{what}: standard output: {done.stdout[-500:]}")
    if within:
        stage.check(done.took <= within, f"{what}: took {done.took:.1f} s, more than {within} s")


TOKEN = ["--retry-token", "once"]
# A deadline for those who meet nobody.
SHORT = ["--timeout", "1", *TOKEN]


def around(stage: Stage) -> float:
    """How long a program may take whose deadline is that: on a busy computer, a virtual machine needs time to start and end,
    and this is how much one needs now that is answered at once."""
    answered = stage.command("--gateway", stage.common.address, *TOKEN, "volume", "nonsense")
    return 3 + 2 * answered.took


@scene("volume and boot-volume: a line with all that matters")
def by_hand(stage: Stage):
    for command, kind in [("volume", "volume"), ("boot-volume", "bootvolume")]:
        ocid, token = f"ocid1.{kind}.oc1.iad.byhand{stage.run}", stage.token(kind)
        given = ["--gateway", stage.common.address, "--name", "by hand", "--retry-token", token]
        done = stage.command(*given, command, ocid)
        stage.check(done.returncode == 0 and not done.stderr, f"{command}: {done.returncode} {done.stderr[-500:]}")
        wanted = rf"^ocid1\.{kind}backup\.\S+ REQUEST_RECEIVED; retry token {token}; opc-request-id \S+\n$"
        stage.check(re.search(wanted, done.stdout), f"{command}: {done.stdout!r}")
        again = stage.command(*given, command, ocid)
        stage.check(again.stdout.split()[:1] == done.stdout.split()[:1], f"{command}: another backup: {again.stdout!r}")
    done = stage.command("--gateway", stage.common.address, "volume", f"ocid1.volume.oc1.iad.token{stage.run}")
    stage.check(re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-4", done.stderr), f"no token was told: {done.stderr!r}")
    stage.check(done.stderr.split()[-1] in done.stdout, f"another token was used: {done.stdout!r}")


@scene("bad input: one clear line, in time")
def bad_input(stage: Stage):
    here, limit = ["--gateway", stage.common.address], around(stage)
    volume, files = ["volume", "ocid1.volume.oc1.iad.bad"], certificates.make(stage.work.parent / "certificates")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        refused = rf"^(UNAVAILABLE|DEADLINE_EXCEEDED): .*{compare.NO_ANSWER}; repeat with the retry token once in 1000 ms$"
        fails(stage, 1, refused, "--gateway", f"127.0.0.1:{port}", *SHORT, *volume, within=limit)
    fails(stage, 1, compare.NO_ANSWER, "--gateway", "no-such-host.invalid:50051", *SHORT, *volume, within=limit)
    for port in ["99999", "soon"]:
        for target in [f"127.0.0.1:{port}", f"dns:///localhost:{port}"]:
            fails(stage, 2, port, "--gateway", target, *SHORT, *volume, within=limit)
    unfit = ["--tls-cert", files / "client.pem", "--tls-key", files / "stranger.key"]
    fails(stage, 2, ".", *here, "--tls-ca", files / "ca.pem", *unfit, *SHORT, *volume, within=limit)
    fails(stage, 1, r"^INVALID_ARGUMENT: .*mend volume_id: .*opc-request-id", *here, *TOKEN, "volume", "nonsense")
    fails(stage, 1, r"^NOT_FOUND: .*opc-request-id", *here, *TOKEN, "boot-volume", "ocid1.bootvolume.oc1.iad.missing")
    fails(stage, 2, "nonsense", "--nonsense", *volume)
    fails(stage, 2, ".", *here, "volume")
    fails(stage, 2, ".", *here, "nonsense")
    fails(stage, 2, "no-such-file", *here, "--tls-ca", "no-such-file", *volume)
    fails(stage, 2, ".", *here, "--timeout", "soon", *volume)
    done = stage.command("--help")
    stage.check(done.returncode == 0 and "--retry-token" in done.stdout, f"--help: {done}")


@scene("a line that cannot be understood ends the program with 2")
def bad_line(stage: Stage):
    for line in ["nonsense", {"rpc": "NoSuch", "request": {}}, {"rpc": "CreateVolumeBackup", "request": {"no": 1}}]:
        client = stage.program(stage.common.address)
        client.tell(line)
        wait_until(lambda client=client: client.process.poll() is not None, "the end of the program")
        stage.check(client.process.returncode == 2, f"{line}: exit code {client.process.returncode}")
        time.sleep(0.05)
        errors = [text for text in client.errors if text]
        stage.check(len(errors) == 1 and not SPOILED.search(errors[0]), f"{line}: {errors}")
    client = stage.program(stage.common.address)
    stage.check(client.close() == 0, "the end of the input does not end the program with 0")


def named(gateway) -> str:
    return gateway.address.replace("127.0.0.1", "localhost")


@scene("TLS and mutual TLS, and what is said where they fail")
def tls(stage: Stage):
    files = certificates.make(stage.work.parent / "certificates")
    door = ["--tls-cert", files / "gateway.pem", "--tls-key", files / "gateway.key"]
    mine = ["--tls-cert", files / "client.pem", "--tls-key", files / "client.key"]
    theirs = ["--tls-cert", files / "stranger.pem", "--tls-key", files / "stranger.key"]
    # By name, as people do.
    one_sided = named(stage.gateway(*door))
    mutual = named(stage.gateway(*door, "--tls-client-ca", files / "ca.pem"))
    ca, other = ["--tls-ca", files / "ca.pem"], ["--tls-ca", files / "other-ca.pem"]
    call = stage.call("tlsOnce")
    stage.answer(call, stage.program(one_sided, *ca).ask(call), {"code": "OK"})
    call = stage.call("mutual")
    stage.answer(call, stage.program(mutual, *ca, *mine).ask(call), {"code": "OK"})
    volume, limit = [*SHORT, "volume", f"ocid1.volume.oc1.iad.tls{stage.run}"], around(stage)
    untrusted, not_tls = "certificate|issuer|authority|PKIX", "TLS|SSL|InvalidContentType"
    for about, said, *arguments in [
        ("a certificate of another authority", untrusted, one_sided, *other),
        ("the system's authorities", untrusted, one_sided, "--tls"),
        # Who speaks no TLS finds the connection shut, or words that it does not know.
        ("plaintext to TLS", "", one_sided),
        ("TLS to plaintext", not_tls, named(stage.common), *ca),
        # The client's side of the handshake is over when the gateway refuses it: a library reads the gateway's alert, or finds
        # before that that the connection is gone.
        ("no certificate of the client's", "", mutual, *ca),
        ("a stranger's certificate", "", mutual, *ca, *theirs),
    ]:
        before = len(stage.wrong)
        fails(stage, 1, f"(?i)({said}).*; {compare.NO_ANSWER}", "--gateway", *arguments, *volume, within=limit)
        stage.wrong[before:] = [f"{about}: {line}" for line in stage.wrong[before:]]
