"""The command line, and the order of things."""

import argparse
import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
import traceback
from pathlib import Path

from . import compare, languages, scenes, speed, table, together
from .stage import Stage

# One line at a time.
SAYING = threading.Lock()


def main(usage: str) -> int:
    parser = argparse.ArgumentParser(usage=usage.split("\n\n")[1], add_help=True)
    parser.add_argument("--only", help="languages, separated by commas")
    parser.add_argument("--scenario", default="", help="only scenarios whose name has these words")
    parser.add_argument("--gateway-binary", type=Path)
    parser.add_argument("--speed", action="store_true", help="measure instead, and print a table")
    arguments = parser.parse_args()
    os.chdir(languages.ROOT)
    languages.KEPT.mkdir(parents=True, exist_ok=True)

    chosen = languages.LANGUAGES
    if arguments.only:
        names = arguments.only.split(",")
        chosen = [language for language in chosen if language.name in names]
        if len(chosen) != len(names):
            parser.error(f"--only: there are {', '.join(language.name for language in languages.LANGUAGES)}")
    began = time.monotonic()
    binary = arguments.gateway_binary or build_gateway()
    if arguments.speed:
        chosen = [language.fast or language for language in chosen]
    for language in chosen:
        language.need()
    languages.need_tools()
    print(f"built in {time.monotonic() - began:.1f} s", flush=True)

    work = Path(tempfile.mkdtemp(prefix="clients-"))
    try:
        if arguments.speed:
            return speed.measure(chosen, binary.resolve(), work)
        run = Run(chosen, binary.resolve(), work, arguments.scenario)
        run.play()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if not run.played:
        print(f"no scenario has these words in its name: {arguments.scenario}")
        return 1
    verdict = f"{len(run.failed)} failed" if run.failed else "all is as it should be"
    print(f"{verdict}; the whole took {time.monotonic() - began:.0f} s", flush=True)
    return 1 if run.failed else 0


def build_gateway() -> Path:
    subprocess.run(["cargo", "build", "--quiet"], check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "debug/oci-backup-gateway"


def say(verdict: str, language: str, name: str, took: float, lines=()):
    with SAYING:
        print(f"{verdict:<7}{language:<8}{name}  ({took:.1f} s)", flush=True)
        for line in lines:
            print(f"              {line}", flush=True)


class Run:
    def __init__(self, chosen, binary: Path, work: Path, words: str):
        self.words = words
        # Names of what went wrong, and how many scenarios were played.
        self.failed: list[str] = []
        self.played = 0
        run = secrets.token_hex(3)
        self.stages = [Stage(language, binary, work / language.name, run + language.name[0]) for language in chosen]

    def play(self):
        # Side by side: each has an OCI, a gateway and tokens of its own.
        threads = [threading.Thread(target=self.alone, args=(stage,)) for stage in self.stages]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.compare()
            for name, scene in together.SCENES.items():
                self.one(self.stages, "all", name, lambda scene=scene: self.in_company(scene))
        finally:
            for stage in self.stages:
                stage.close()

    def alone(self, stage: Stage):
        try:
            stage.open()
        except Exception:
            self.failed.append(stage.language.name)
            say("FAILED", stage.language.name, "the stage", 0, traceback.format_exc().splitlines())
            return
        for scenario in table.scenarios():
            self.of(stage, scenario["name"], lambda stage, scenario=scenario: table.play(stage, scenario))
        self.of(stage, "every row of the error table, as OCI and the wire can make it", table.play_rows)
        self.of(stage, "the other rows of the error table, as a stand-in tells them", table.play_rows_of_the_stand_in)
        for name, scene in scenes.SCENES.items():
            self.of(stage, name, scene)

    def of(self, stage: Stage, name: str, scene):
        def play():
            stage.begin(name)
            with contextlib.ExitStack() as ending:
                ending.callback(stage.end)
                scene(stage)
            return stage.wrong

        self.one([stage], stage.language.name, name, play)

    def in_company(self, scene):
        with together.Company(self.stages) as company:
            scene(company)
            return company.wrong

    def one(self, stages, who: str, name: str, play):
        if self.words not in name:
            return
        self.played += 1
        began = time.monotonic()
        try:
            wrong = play()
        except Exception:
            wrong = stages[0].wrong + traceback.format_exc().splitlines()
        self.failed += [name] if wrong else []
        say("FAILED" if wrong else "ok", who, name, time.monotonic() - began, wrong)

    def compare(self):
        """What each has seen, against what the first has seen."""
        first, *others = self.stages
        for other in others:
            wrong = []
            for name, answers in other.seen.items():
                reference = first.seen.get(name, [])
                if len(answers) != len(reference):
                    wrong.append(f"{name}: {len(answers)} answers, and {len(reference)} of {first.language.name}")
                for one, two in zip(reference, answers):
                    wrong += [f"{name}: {line}" for line in compare.unlike(one, two)]
            self.failed += [other.language.name] if wrong else []
            say("FAILED" if wrong else "ok", other.language.name, f"saw what {first.language.name} saw", 0, wrong)
