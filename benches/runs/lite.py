"""The viewers of benches/runs/lite.sh and their network links. Uses only the standard library."""

import base64
import json
import os
import re
import selectors
import socket
import subprocess
import sys
import time
import urllib.request

PUBLIC = ("127.0.0.1", 18590)
METRICS = "http://127.0.0.1:18591/metrics"
COMMENTS_PER_TICK = 40
SLOW, FAST = "200kbit", "1gbit"
AT = re.compile(rb'"at":(\d+)')


def tc(*args):
    subprocess.run(["tc", *args], check=True)


def links(count):
    tc("qdisc", "add", "dev", "lo", "root", "handle", "1:", "htb")
    for n in range(1, count + 1):
        tc("class", "add", "dev", "lo", "parent", "1:", "classid", f"1:{n:x}", "htb", "rate", FAST, "burst", "8k", "quantum", "1514")
        tc("filter", "add", "dev", "lo", "parent", "1:", "protocol", "ip", "u32", "match", "ip", "dst", address(n), "flowid", f"1:{n:x}")


def limit(count, rate):
    for n in range(1, count + 1):
        tc("class", "change", "dev", "lo", "parent", "1:", "classid", f"1:{n:x}", "htb", "rate", rate, "burst", "8k", "quantum", "1514")


def address(n):
    return f"127.0.1.{n}"


def frame(payload):
    head = bytes([0x81, 0x80 | len(payload)]) if len(payload) < 126 else bytes([0x81, 0xFE]) + len(payload).to_bytes(2, "big")
    return head + bytes(4) + payload


class Client:
    def __init__(self, source=None):
        self.socket = socket.socket()
        if source:
            # Packets of 1,500 bytes, not loopback's 64 KiB.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1448)
            self.socket.bind((source, 0))
        self.socket.connect(PUBLIC)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /v1/rooms/lite/ws HTTP/1.1\r\nHost: lite\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        self.buffer = bytearray()
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.socket.recv(65536)
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        assert b" 101 " in head, head
        self.buffer = bytearray(rest)
        self.socket.setblocking(False)
        self.slow = source is not None
        self.position, self.rendition, self.changes = None, "viewer", []
        self.gaps, self.holes, self.closed = 0, 0, None
        self.sizes = {"viewer": [], "lite": []}

    def messages(self):
        """The whole messages that have arrived: (opcode, payload)."""
        try:
            while piece := self.socket.recv(1 << 18):
                self.buffer += piece
            self.closed = self.closed or "hung up"
        except BlockingIOError:
            pass
        at, buffer = 0, self.buffer
        while len(buffer) >= at + 2:
            length, begin = buffer[at + 1] & 0x7F, at + 2
            if length >= 126:
                wide = 2 if length == 126 else 8
                length, begin = int.from_bytes(buffer[begin : begin + wide], "big"), begin + wide
            if len(buffer) < begin + length:
                break
            yield buffer[at] & 0x0F, bytes(buffer[begin : begin + length])
            at = begin + length
        del buffer[:at]

    def take(self, opcode, payload, now):
        if opcode == 8:
            self.closed = int.from_bytes(payload[:2], "big")
        elif opcode == 9:
            self.socket.send(bytes([0x8A, 0x80 | len(payload)]) + bytes(4) + payload)
        if opcode != 1:
            return
        message = json.loads(payload)
        if "welcome" in message:
            self.position = message["welcome"]["last"]
        elif "frame" in message:
            self.holes += message["frame"]["prev"] != self.position
            self.position = message["frame"]["last"]
            self.sizes[self.rendition].append(len(payload))
        elif "gap" in message:
            self.holes += message["gap"]["from"] != self.position
            self.position = message["gap"]["to"]
            self.gaps += 1
        elif "rendition" in message:
            self.rendition = message["rendition"]["now"]
            self.changes.append((now, self.rendition, message["rendition"]["reason"]))


def on_lite():
    with urllib.request.urlopen(METRICS) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith('volley_subscribers{rendition="lite"}'):
                return int(float(line.split()[-1]))
    return 0


def p99(values):
    return sorted(values)[len(values) * 99 // 100] if values else 0


def main():
    viewers, seconds_slow = int(sys.argv[1]), int(sys.argv[2])
    slow_count = viewers // 10
    links(slow_count)
    poll = selectors.DefaultSelector()
    clients = [Client() for _ in range(viewers - slow_count)] + [Client(address(n)) for n in range(1, slow_count + 1)]
    talker = Client()
    for client in [*clients, talker]:
        poll.register(client.socket, selectors.EVENT_READ, client)
    slow = [client for client in clients if client.slow]
    text = "弹幕" * 10
    said = 0
    latencies = {"before": [], "slow": [], "after": []}
    phase, tick = "warm", time.monotonic()
    began, phases = tick, [("warm", 3), ("before", 12), ("slow", seconds_slow), ("after", 35)]
    begins, at = {}, began
    for name, length in phases:
        begins[name] = at
        at += length
    end = at
    server_slid, looked = None, 0
    while (now := time.monotonic()) < end:
        due = [name for name, _ in phases if begins[name] <= now][-1]
        if due != phase:
            phase = due
            if phase in ("slow", "after"):
                limit(slow_count, SLOW if phase == "slow" else FAST)
                begins[phase] = time.monotonic()
        if now >= tick:
            tick += 0.1
            batch = b""
            for _ in range(COMMENTS_PER_TICK):
                said += 1
                batch += frame(json.dumps({"comment": {"text": f"{said} {text}"}}, ensure_ascii=False).encode())
            talker.socket.setblocking(True)
            talker.socket.sendall(batch)
            talker.socket.setblocking(False)
        if phase in ("slow", "after") and now - looked >= 0.2:
            looked = now
            lite = on_lite()
            if phase == "slow" and server_slid is None and lite == slow_count:
                server_slid = now - begins["slow"]
        for key, _ in poll.select(max(0, tick - time.monotonic())):
            client = key.data
            for opcode, payload in client.messages():
                if client.slow:
                    client.take(opcode, payload, time.monotonic())
                elif opcode == 1 and client is not talker and phase in latencies and payload.startswith(b'{"frame"'):
                    latencies[phase].append(time.time() * 1000 - int(AT.search(payload[:200])[1]))
                elif opcode in (8, 9):
                    client.take(opcode, payload, now)
            if client.closed:
                poll.unregister(client.socket)
    first = [next((at - begins["slow"] for at, to, _ in c.changes if to == "lite"), None) for c in slow]
    back = [c.changes[-1][0] - begins["after"] if c.changes and c.changes[-1][1] == "viewer" else None for c in slow]
    told = [value for value in first if value is not None]
    up = [max(value, 0) for value in back if value is not None]
    sizes = {name: sorted(size for c in slow for size in c.sizes[name]) for name in ("viewer", "lite")}
    middle = lambda values: values[len(values) // 2] if values else 0
    seconds = lambda values, pick: f"{pick(values):.1f} s" if values else "none"
    told, up = sorted(told), sorted(up)
    rows = [
        ("viewers", viewers),
        ("slow viewers", slow_count),
        ("viewer frames, median bytes", f"{middle(sizes['viewer']):,}"),
        ("lite frames, median bytes", f"{middle(sizes['lite']):,}"),
        ("disconnected viewers", sum(c.closed is not None for c in clients)),
        ("missing frames", sum(c.holes for c in slow)),
        ("gaps", sum(c.gaps for c in slow)),
        ("all slow viewers on lite, by the server's count", f"{server_slid:.1f} s" if server_slid else "never"),
        ("slow viewers informed of it", len(told)),
        ("informed: first", seconds(told, min)),
        ("informed: median", seconds(told, middle)),
        ("informed: last", seconds(told, max)),
        ("slow viewers back on viewer", len(up)),
        ("back on viewer: median", seconds(up, middle)),
        ("back on viewer: last", seconds(up, max)),
        ("changes per slow viewer, most", max(len(c.changes) for c in slow)),
        *((f"p99 of the other viewers, {name}", f"{p99(latencies[name]):.0f} ms") for name in latencies),
    ]
    print("| figure | value |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")


main()
