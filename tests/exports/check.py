"""Replays recordings into a server, exports them, and reads the files with third-party programs.

    check.py VOLLEY LOADGEN FOLDER

Bilibili XML by Python's XML parser, against the recording, and by dmconvert, which makes subtitles of it; our own
subtitles by the rules of their format. The files stay in FOLDER.
"""

import os
import re
import signal
import subprocess
import sys
import urllib.request
import xml.etree.ElementTree as ET
from pathlib import Path

RECORDINGS = ["comment", "boss"]
REPLAYED = {"1", "4", "5", "6"}  # 7 and 8 are positioned comments and scripts.

DIALOGUE = re.compile(r"Dialogue: [01],(\d+):(\d\d):(\d\d)\.(\d\d),\d+:\d\d:\d\d\.\d\d,Danmaku,,0,0,0,,\{(\\an[278]\\[^{}]+)\}([^{}\\]+)")


def start(binary: str) -> tuple[subprocess.Popen[str], str]:
    """The server on free ports, and its public address, which it prints when it listens."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VOLLEY_")}
    arguments = ["--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--data=memory", "--no-rate-limits", "--drain=0", "--log=warn"]
    process = subprocess.Popen([binary, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment, text=True)
    assert process.stdout
    for line in process.stdout:
        if found := re.search(r"ws://([0-9.:]+)/", line):
            return process, found[1]
    raise SystemExit(f"exports: the server said no address (exit code {process.wait()})")


def comments(file: Path) -> list[tuple[float, str, str, str]]:
    """Time, mode, size and colour of each entry that is replayed, sorted."""
    found = []
    for entry in ET.parse(file).getroot().iter("d"):
        fields = entry.attrib["p"].split(",")
        assert len(fields) >= 8 and entry.text, entry.attrib
        if fields[1] in REPLAYED:
            found.append((round(float(fields[0]), 3), *fields[1:4]))
    return sorted(found)


def check(address: str, loadgen: str, recording: str, folder: Path) -> str:
    source = Path(f"tests/data/{recording}.xml")
    replay = [loadgen, "--url", f"ws://{address}", "--room", recording, "--replay", str(source), "--speed", "200"]
    subprocess.run([*replay, "--viewers", "20", "--likes", "0", "--quiet"], check=True, capture_output=True)
    for form, extension in [("bilibili-xml", "xml"), ("ass", "ass"), ("jsonl", "jsonl")]:
        url = f"http://{address}/v1/rooms/{recording}/export?format={form}"
        (folder / f"{recording}.{extension}").write_bytes(urllib.request.urlopen(url, timeout=30).read())
    exported = folder / f"{recording}.xml"
    said, came = comments(source), comments(exported)
    assert came == said, f"{recording}: {len(came)} of {len(said)} came back, or not as they were"

    # dmconvert prints the number of comments that it read, and drops comments without a free row.
    converted = folder / f"{recording}.dmconvert.ass"
    tool = [str(Path(sys.executable).with_name("dmconvert")), "-i", str(exported), "-o", str(converted)]
    output = subprocess.run(tool, check=True, capture_output=True, text=True, timeout=60).stdout
    assert f"normal danmaku pool is {len(said)}." in output, output
    lines = [line for line in converted.read_text("utf-8").splitlines() if line.startswith("Dialogue:")]
    assert len(lines) > len(said) / 2, f"{recording}: dmconvert made {len(lines)} lines of {len(said)} comments"

    events = (folder / f"{recording}.ass").read_text("utf-8").split("[Events]\n")[1].splitlines()[1:]
    wrong = [line for line in events if not DIALOGUE.fullmatch(line)]
    assert len(events) == len(said) and not wrong, f"{recording}: {wrong[:3]}"
    return f"{recording}: {len(said)} comments, {len(lines)} lines of dmconvert"


def main() -> None:
    volley, loadgen, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    process, address = start(volley)
    try:
        for recording in RECORDINGS:
            print(f"exports: {check(address, loadgen, recording, folder)}")
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    assert code == 0, f"the server ended with {code}"


if __name__ == "__main__":
    main()
