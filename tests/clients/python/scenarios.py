"""The table of scenarios, and how an answer is held against it.

A client is a function from a call of the table to an answer:

    {"status": "NOT_FOUND", "message": "...", "response": {...}, "metadata": {...}, "details": {...}}

with messages in protobuf's JSON form and details by type name. A client that cannot see one of these leaves the
key out, and is not asked for it; one that cannot make the call at all answers `None`, and the scenario is left.
"""

import argparse
import json
import pathlib
import re
import secrets
import sys
import time
import urllib.request

TABLE = pathlib.Path(__file__).resolve().parent.parent / "scenarios.json"


def main(client_of):
    """Runs the table. `client_of` takes the gateway's address and gives the client."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gateway", required=True, help="host:port of the gateway")
    parser.add_argument("--control", required=True, help="host:port of the sandbox's control listener")
    arguments = parser.parse_args()

    client = client_of(arguments.gateway)
    # Tokens and volumes are this run's own: the sandbox remembers those of others.
    words = {"{run}": secrets.token_hex(4), "{256 letters}": "x" * 256}
    failed = 0
    for scenario in json.loads(TABLE.read_text(encoding="utf-8")):
        wrong = run(fill(scenario, words), client, arguments.control)
        failed += bool(wrong)
        verdict = "left  " if wrong is None else "FAILED" if wrong else "ok    "
        print(verdict, scenario["name"])
        for line in wrong or []:
            print("       ", line)
    sys.exit(f"{failed} scenario(s) failed" if failed else 0)


def run(scenario, client, control):
    """Everything that is wrong with one scenario, or `None` when the client cannot play it."""
    wrong, same = [], set()
    send(control, "POST", "/sandbox/faults", scenario.get("faults", []))
    try:
        for number, call in enumerate(scenario["calls"], 1):
            started = time.monotonic()
            answer = client(call)
            took = time.monotonic() - started
            if answer is None:
                return None
            wrong += [f"call {number}: {line}" for line in differences(call["expect"], answer, took)]
            if "same" in scenario and answer["status"] == "OK":
                same.add(pick(answer["response"], scenario["same"]))
    finally:
        send(control, "DELETE", "/sandbox/faults")

    if len(same) > 1 or None in same:
        wrong.append(f"{scenario['same']} is not the same: {same}")
    if "ledger" in scenario:
        ledger = send(control, "GET", "/sandbox/ledger")
        wrong += [f"ledger{line}" for line in mismatches(scenario["ledger"], ledger)]
    return wrong


def differences(expected, answer, took):
    if answer["status"] != expected["status"]:
        return [f"{expected['status']} expected, not {json.dumps(answer, ensure_ascii=False, default=repr)}"]
    wrong = []
    for part in ["message", "response", "metadata", "details"]:
        if part in expected and part in answer:
            wrong += [part + line for line in mismatches(expected[part], answer[part])]
    for path in expected.get("absent", []):
        if "response" in answer and pick(answer["response"], path) is not None:
            wrong.append(f"response.{path} is there")
    if took > expected.get("within", float("inf")):
        wrong.append(f"took {took:.2f} s, more than {expected['within']} s")
    return wrong


def mismatches(expected, actual, path=""):
    """Objects hold at least what is expected, arrays exactly; text after `~` is a regular expression."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items():
            if key in actual:
                yield from mismatches(value, actual[key], f"{path}.{key}")
            else:
                yield f"{path}.{key} is missing"
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, (one, other) in enumerate(zip(expected, actual)):
            yield from mismatches(one, other, f"{path}[{index}]")
    elif isinstance(expected, str) and expected.startswith("~") and isinstance(actual, str):
        if not re.search(expected[1:], actual):
            yield f"{path} is {actual!r}, which does not match {expected[1:]!r}"
    elif expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
        yield f"{path} is {actual!r}, not {expected!r}"


def pick(value, path):
    for name in path.split("."):
        value = (value or {}).get(name)
    return value


def fill(value, words):
    if isinstance(value, dict):
        return {fill(key, words): fill(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, words) for item in value]
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(word, text)
    return value


def send(address, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}{path}", data, method=method)
    # No proxy of the environment: the sandbox is on this machine.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as response:
        text = response.read()
    return json.loads(text) if text else None
