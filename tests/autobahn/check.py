"""Runs the Autobahn cases against a Volley built with the `echo` feature, and judges the results.

    check.py VOLLEY REPORT_FOLDER [CASE…]

A case that is no pass must stand in EXCEPTIONS with its reason, and one that stands there must not pass: an exception
that is no longer needed has to go. CASE (such as `6.*`) limits the run to some cases.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from kosoku import FailureError, run_fuzzingclient

# 12 is compression, of five kinds of data; 13 is its negotiation, in seven ways. Each has 18 sizes: 1 to 10 are 16 bytes to
# 128 KiB, 11 to 15 are 8 to 128 KiB in fragments of 256 bytes, 16 to 18 are 128 KiB in larger ones; with 1,000 messages in each
# case, all of them would take many minutes. The cases below are a selection with every kind and every way; `check.py VOLLEY
# FOLDER '12.*' '13.*'` runs all.
COMPRESSION = {f"12.{kind}.{size}" for kind in range(1, 6) for size in range(1, 19)}
COMPRESSION |= {f"13.{way}.{size}" for way in range(1, 8) for size in range(1, 19)}
SPREAD = {f"12.{kind}.{size}" for kind in range(1, 6) for size in (1, 3, 4, 6, 11)} | {"12.1.8", "12.2.7", "12.4.12"}
SPREAD |= {f"13.{way}.{size}" for way in range(1, 8) for size in (2, 4, 11)} | {"13.7.5", "13.6.7"}

# 9 measures speed with messages of up to 16 MiB (the benches measure it with ours).
EXCLUDED = ["9.*", *sorted(COMPRESSION - SPREAD)]

# Cases of the suite without the excluded ones; a smaller number means that the run was incomplete.
CASES_MIN = 247 + len(SPREAD)

# Case → the reason why it may fail.
EXCEPTIONS: dict[str, str] = {
    case: "asks for a window of 9 bits alone; frames are compressed once for everybody, with 15, so it is declined"
    for case in COMPRESSION
    if case.startswith(("13.3.", "13.5."))
}

READY_S = 30
RUN_S = 300
RUN_CHOSEN_S = 3_600
EXIT_S = 30


class Server:
    """The binary on free ports, with higher limits where the cases exceed the defaults."""

    def __init__(self, binary: str) -> None:
        # Variables in the caller's environment must not configure this server.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("VOLLEY_")}
        arguments = ["--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--data=memory", "--no-rate-limits", "--drain=0"]
        # The largest message of the cases has 65,536 bytes.
        arguments += ["--set=admission.message_bytes_max=1MiB", "--log=warn"]
        arguments += ["--set=compression.enabled=true", "--set=compression.threshold_bytes=0"]
        self.process = subprocess.Popen(
            [binary, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment, text=True
        )

    def address(self) -> str:
        """Waits for the address, which the server prints when it listens."""
        until = time.monotonic() + READY_S
        assert self.process.stdout
        for line in self.process.stdout:
            if found := re.search(r"ws://([0-9.:]+)/", line):
                return found[1]
            if time.monotonic() > until:
                break
        raise SystemExit(f"autobahn: the server said no address (exit code {self.process.poll()})")

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(EXIT_S)
        finally:
            self.process.kill()


def judge(results: list) -> tuple[list[str], list[str]]:
    """The failures, and the reasons of the exceptions that applied."""
    wrong, excused = [], []
    for result in results:
        case = result.case_id
        if result.passed and case in EXCEPTIONS:
            wrong.append(f"{case} passes now: remove it from EXCEPTIONS")
        elif not result.passed and case in EXCEPTIONS:
            excused.append(EXCEPTIONS[case])
        elif not result.passed:
            verdict = f"{result.behavior.value}, close {result.behavior_close.value}"
            what = " ".join(result.description.split())
            wrong.append(f"{case} {verdict}: {what} | {result.result} {result.result_close}")
    return wrong, excused


async def run(address: str, cases: list[str]) -> list:
    try:
        client = run_fuzzingclient(f"ws://{address}/v1/echo", cases or None, [] if cases else EXCLUDED)
        return await asyncio.wait_for(client, RUN_CHOSEN_S if cases else RUN_S)
    except FailureError as failure:
        return failure.results


def report(results: list, folder: Path) -> None:
    """Writes one JSON file for the analysis of failures."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["case_id", "passed", "result", "result_close", "expectation", "duration", "wirelog"]
    rows = [{name: getattr(result, name) for name in names} for result in results]
    (folder / "results.json").write_text(json.dumps(rows, indent=1, default=repr))


def main() -> int:
    binary, folder, cases = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    began = time.monotonic()
    server = Server(binary)
    try:
        results = asyncio.run(run(server.address(), cases))
    finally:
        code = server.stop()
    report(results, folder)
    wrong, excused = judge(results)
    if code != 0:
        wrong.append(f"the server ended with {code} instead of 0")
    if not cases and len(results) < CASES_MIN:
        wrong.append(f"only {len(results)} cases ran, not {CASES_MIN}")
    for reason in sorted(set(excused)):
        print(f"autobahn: excused {excused.count(reason)} that {reason}")
    for line in wrong:
        print(f"autobahn: FAILED {line}")
    soft = sum(result.behavior.value in ("NON-STRICT", "INFORMATIONAL") for result in results)
    passed = sum(result.passed for result in results)
    print(
        f"autobahn: {len(results)} cases, {passed} passed ({soft} of them non-strict or informational), "
        f"{len(excused)} excused, {len(results) - passed - len(excused)} failed, in {time.monotonic() - began:.0f} s; "
        f"wire logs in {folder}/results.json"
    )
    return 1 if wrong or not results else 0


if __name__ == "__main__":
    sys.exit(main())
