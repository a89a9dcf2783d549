"""How many calls each program makes, and how long one takes, against one gateway in front of an OCI that answers at once."""

import os
from pathlib import Path

from .processes import Gateway, Program, Sandbox


def measure(chosen, binary: Path, work: Path) -> int:
    sandbox = Sandbox(binary, work, "oci")
    gateway = Gateway(binary, work, "gateway", sandbox)
    rows = []
    try:
        for language in chosen:
            with Program(language, gateway.address) as program:

                def load(prefix, calls, at_once, program=program, language=language):
                    told = {"rpc": "CreateVolumeBackup", "prefix": language.name + prefix, "calls": calls, "atOnce": at_once}
                    found = program.ask({"load": told | {"timeoutMs": 20000}}, seconds=300)
                    if found["codes"] != {"OK": calls}:
                        raise RuntimeError(f"{language.name}: {found}")
                    return found

                # Connected, compiled and warm.
                load("warm", 2000, 32)
                many, alone = load("many", 8000, 32), load("alone", 2000, 1)
                rows.append((language.name, many["calls"] / many["seconds"], many["medianMs"], alone["medianMs"]))
    finally:
        gateway.stop()
        sandbox.stop()
    print(f"\n{os.cpu_count()} processors for client, gateway and OCI together; `{' '.join(binary.parts[-2:])}`\n")
    print("| client | calls/s, 32 at once | median, 32 at once | median, one at a time |")
    print("|---|---:|---:|---:|")
    for name, rate, busy, quiet in rows:
        print(f"| {name} | {rate:,.0f} | {busy:.1f} ms | {quiet:.2f} ms |")
    return 0
