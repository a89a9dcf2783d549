"""A client that knows no proto: `buf curl` asks the gateway for it by reflection.

It shows no metadata of an answer and sets no deadline.
"""

import base64
import json
import subprocess

from google.protobuf import json_format, symbol_database
from google.rpc import error_details_pb2  # noqa: F401  (so that the details of a status can be read)

import scenarios


def client_of(gateway):
    def call(wanted):
        if "deadline" in wanted:
            return None
        command = ["buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--reflect"]
        command += ["--data", json.dumps(wanted["request"])]
        for name, value in wanted.get("metadata", {}).items():
            command += ["--header", f"{name}: {value}"]
        command.append(f"http://{gateway}/ocibackup.v1.BackupService/{wanted['rpc']}")
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return {"status": "OK", "response": json.loads(done.stdout)} if done.returncode == 0 else failure(done.stderr)

    return call


def failure(text):
    try:
        error = json.loads(text)
    except json.JSONDecodeError:
        return {"status": "NO ANSWER", "message": text}
    return {
        "status": error["code"].upper(),
        "message": error.get("message", ""),
        "details": {detail["type"]: decode(detail) for detail in error.get("details", [])},
    }


def decode(detail):
    message = symbol_database.Default().GetSymbol(detail["type"])()
    message.ParseFromString(base64.b64decode(detail["value"] + "=="))
    return json_format.MessageToDict(message)


if __name__ == "__main__":
    scenarios.main(client_of)
