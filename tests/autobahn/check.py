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

# 9 measures speed with messages of up to 16 MiB (the benches measure it with ours); 12 and 13 are compression.
EXCLUDED = ["9.*", "12.*", "13.*"]

# Cases of the suite without the excluded ones; fewer means that it did not run as a whole.
CASES_MIN = 247

# Case → why it may fail.
EXCEPTIONS: dict[str, str] = {}

READY_S = 30
RUN_S = 300
EXIT_S = 30


class Server:
    """The binary on free ports, with the bounds that the cases go beyond lifted."""

    def __init__(self, binary: str) -> None:
        # What the caller's environment configures for other programs is not ours to inherit.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("VOLLEY_")}
        arguments = ["--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--data=memory", "--no-rate-limits", "--drain=0"]
        # The largest message of the cases has 65,536 bytes.
        arguments += ["--set=admission.message_bytes_max=1MiB", "--log=warn"]
        self.process = subprocess.Popen(
            [binary, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment, text=True
        )

    def address(self) -> str:
        """Waits until it says its address; it says it once it listens."""
        until = time.monotonic() + READY_S
        assert self.process.stdout
        for line in self.process.stdout:
            if found := re.search(r"ws://([0-9.:]+)/", line):
                return found[1]
            if time.monotonic() > until:
                break
        raise SystemExit(f"autobahn: the server said no address (exit code {self.process.poll()})")

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(EXIT_S)
        finally:
            self.process.kill()


def judge(results: list) -> tuple[list[str], list[str]]:
    """What fails, and which exceptions were used."""
    wrong, excused = [], []
    for result in results:
        case = result.case_id
        if result.passed and case in EXCEPTIONS:
            wrong.append(f"{case} passes now: remove it from EXCEPTIONS")
        elif not result.passed and case in EXCEPTIONS:
            excused.append(f"{case}: {EXCEPTIONS[case]}")
        elif not result.passed:
            verdict = f"{result.behavior.value}, close {result.behavior_close.value}"
            what = " ".join(result.description.split())
            wrong.append(f"{case} {verdict}: {what} | {result.result} {result.result_close}")
    return wrong, excused


async def run(address: str, cases: list[str]) -> list:
    try:
        client = run_fuzzingclient(f"ws://{address}/v1/echo", cases or None, EXCLUDED)
        return await asyncio.wait_for(client, RUN_S)
    except FailureError as failure:
        return failure.results


def report(results: list, folder: Path) -> None:
    """One JSON file for whoever looks a failure up."""
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
    for line in excused:
        print(f"autobahn: excused {line}")
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
