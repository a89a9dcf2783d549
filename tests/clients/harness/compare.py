"""How an answer is held against the table, against what every answer has to be, and against those of the others."""

import json
import re

# What became of a call, in the words of README.md's tables.
MAY_HAVE_BEEN_MADE = "the backup may have been made"
WAS_MADE = "the backup was made, but its answer cannot be used"
NO_ANSWER = "no answer of a gateway came, so the backup may have been made"
MADE_NOTHING = "this call made nothing"

# The codes of a library that leave open how far the call came.
LIBRARY_REPEATS = {
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "CANCELLED",
    "UNKNOWN",
    "INTERNAL",
    "RESOURCE_EXHAUSTED",
    "DATA_LOSS",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "UNIMPLEMENTED",
}
FOR_THE_OPERATOR = {
    "code": {"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "INTERNAL"},
    "reason": {"UPSTREAM_TLS", "UPSTREAM_REDIRECT"},
}


def fill(value, words):
    """The value with every word in braces replaced by its text."""
    if isinstance(value, dict):
        return {fill(key, words): fill(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, words) for item in value]
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(word, text)
    return value


def mismatches(expected, actual, path=""):
    """Objects hold at least what is expected, and not what is expected to be `null`; arrays are equal; text after `~` is a
    regular expression; `[least, most]` after `<>` are bounds."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items():
            if value is None and key in actual:
                yield f"{path}.{key} is {brief(actual[key])} and should not be there"
            elif value is not None and key not in actual:
                yield f"{path}.{key} is missing"
            elif value is not None:
                yield from mismatches(value, actual[key], f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, (one, other) in enumerate(zip(expected, actual)):
            yield from mismatches(one, other, f"{path}[{index}]")
    elif isinstance(expected, str) and expected.startswith("<>") and not isinstance(actual, str):
        least, most = json.loads(expected[2:])
        if not least <= actual <= most:
            yield f"{path} is {actual}, not between {least} and {most}"
    elif isinstance(expected, str) and expected.startswith("~") and isinstance(actual, str):
        if not re.search(expected[1:], actual):
            yield f"{path} is {brief(actual)}, which does not match {expected[1:]!r}"
    elif expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
        yield f"{path} is {brief(actual)}, not {brief(expected)}"


def brief(value) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 400 else text[:400] + "…"


def always(call, answer):
    """What holds of every answer, whatever the table says."""
    if answer["code"] == "OK":
        yield from mismatches({"response": {}, "metadata": {"opc-request-id": "~.", "opc-retry-token": "~."}}, answer)
        return
    info, metadata = answer.get("errorMetadata", {}), answer.get("metadata", {})
    if "domain" in answer:
        told = {"requestId": metadata.get("opc-request-id"), "reason": "~.", "message": "~."}
        told["pushbackMs"] = "<>[-1, 86400000]"
        yield from mismatches(told, answer)
        if "outcome" not in info or "attempts" not in info:
            yield f".errorMetadata is {brief(info)}"
    repeat = token_of(call, answer) and ("retryAfterMs" in answer or became_of(answer) != MADE_NOTHING)
    decided = {"decision": "REPEAT" if repeat else "STOP", "repeatAfterMs": None}
    if repeat:
        decided["repeatAfterMs"] = answer.get("retryAfterMs", 1000)
    found = list(mismatches(decided, answer))
    yield from found or mismatches({"words": words(call, answer)}, answer)


def token_of(call, answer) -> str:
    """The retry token that is known: the answer's, else the one that was sent, in the field or in metadata."""
    told, sent = answer.get("metadata", {}).get("opc-retry-token"), call["request"].get("retryToken")
    return told or sent or call.get("metadata", {}).get("opc-retry-token", "")


def became_of(answer) -> str:
    outcome = answer.get("errorMetadata", {}).get("outcome")
    if outcome in ("UNKNOWN", "STARTED"):
        return MAY_HAVE_BEEN_MADE if outcome == "UNKNOWN" else WAS_MADE
    return NO_ANSWER if "domain" not in answer and answer["code"] in LIBRARY_REPEATS else MADE_NOTHING


def words(call, answer) -> str:
    """The line that every program makes of this answer, whose decision is right."""
    info, code, token, became = answer.get("errorMetadata", {}), answer["code"], token_of(call, answer), became_of(answer)
    what = f"{code}: {answer.get('message', '')}"
    if "oci_code" in info:
        what += f" [{info['oci_code']}]"
    if answer["decision"] == "REPEAT":
        advice = f"repeat with the retry token {token} in {answer['repeatAfterMs']} ms"
    elif code == "FAILED_PRECONDITION" or not token and became != MADE_NOTHING:
        advice = "find out whether the backup exists before trying again"
    elif answer.get("violations"):
        advice = "mend " + ", ".join(f"{wrong['field']}: {wrong['description']}" for wrong in answer["violations"])
    elif code in FOR_THE_OPERATOR["code"] or answer.get("reason") in FOR_THE_OPERATOR["reason"]:
        advice = "this is for those who run the gateway"
    else:
        advice = "mend the cause before repeating"
    line = f"{what}; {became}; {advice}"
    request_id = answer.get("requestId") or answer.get("metadata", {}).get("opc-request-id")
    if request_id:
        line += f"; opc-request-id {request_id}"
    return re.sub(r"\r\n|\r|\n", " ", line)


# What belongs to one run or one moment: where it stands is compared, what it is not.
OF_ONE_RUN = [
    (re.compile(r"ocid1\.tenancy\.oc1\.\.[a-z0-9]+"), "<tenancy>"),
    (re.compile(r"ocid1\.(boot)?volumebackup\.[a-z0-9.]+"), r"<id of a \1volumebackup>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"volumebackup\d{14}"), "<name>"),
    (re.compile(r"\b[0-9A-Fa-f]{32}\b"), "<id>"),
    (re.compile(r"^[0-9a-f]{8}--\d+$"), "<etag>"),
    (re.compile(r"127\.0\.0\.1:\d+"), "<address>"),
]


def normalised(answer, own: dict[str, str]):
    """What has to be equal in all languages.

    Not `tookMs`; not `words`, which `always` has held against the rest of the answer; and not the message where no gateway
    answered: libraries have words of their own. Of an answer that the gateway tried to get several times, neither how
    often nor what it would have done next. Metadata of a call that the library ended is what came before its end, or not.
    `own` are texts of this language's part of the run, with names for them.
    """
    kept = {key: value for key, value in answer.items() if key not in ("tookMs", "words")}
    if answer["code"] != "OK" and "domain" not in answer:
        return {"code": kept["code"], "decision": kept["decision"], "repeatAfterMs": kept.get("repeatAfterMs")}
    if "retryAfterMs" in kept:
        info = kept["errorMetadata"] = dict(kept["errorMetadata"])
        info["attempts"] = "<n>" if info["attempts"] != "0" else "0"
        info.pop("last_error", None)
        if kept["pushbackMs"] > 0:
            kept |= {"retryAfterMs": "<ms>", "pushbackMs": "<ms>", "repeatAfterMs": "<ms>"}
    return anonymous(kept, own)


def anonymous(value, own: dict[str, str]):
    if isinstance(value, dict):
        return {anonymous(key, own): anonymous(item, own) for key, item in value.items()}
    if isinstance(value, list):
        return [anonymous(item, own) for item in value]
    if isinstance(value, str):
        for text, name in own.items():
            value = value.replace(text, name)
        for pattern, name in OF_ONE_RUN:
            value = pattern.sub(name, value)
    return value


def unlike(one, other, path=""):
    """Where two answers differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if key in one and key in other:
                yield from unlike(one[key], other[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: {brief(one.get(key))} and {brief(other.get(key))}"
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (first, second) in enumerate(zip(one, other)):
            yield from unlike(first, second, f"{path}[{index}]")
    elif one != other or isinstance(one, bool) != isinstance(other, bool):
        yield f"{path}: {brief(one)} and {brief(other)}"
