#!/usr/bin/env python3
"""fault_proxy.py - stands between a client and an HTTP server, and does what can go wrong there.

    fault_proxy.py PORT      forwards to PORT of 127.0.0.1; prints "port N control M"

A connection to the control port takes one line and answers one. Modes, for what comes from then on,
on the connections that are open too:

    pass                forwards                    delay MS        answers come MS later
    cut                 RST, also to new ones       hole            takes all, forwards and answers nothing
    half                takes a request, closes its own side (FIN) and answers nothing
    garbage             answers with bytes that are not HTTP
    body                answers 200 with a body that is not CBOR
    status CODE         answers with that status and a text
    lost PERCENT        the server gets the request and answers; that many of the answers become a RST
    early PERCENT       that many of the requests become a RST before the server has seen them

Behind any mode, "if TEXT" limits it to requests that hold TEXT; the others pass. And once:

    reset               RST to all that are open    stats           JSON: connections, requests, faults, watched
    watch TEXT          counts from now on, as `watched`, the requests that hold TEXT

Requests are read whole before they go on (Content-Length), one after the other on a connection, as
libcurl sends them."""
import asyncio
import json
import os
import random
import socket
import struct
import sys

target = int(sys.argv[1])
GARBAGE = os.urandom(3000).replace(b"H", b"\0")


class Mode:
    def __init__(self, words):
        self.text = b""
        if "if" in words:
            at = words.index("if")
            self.text, words = " ".join(words[at + 1:]).encode(), words[:at]
        self.name = words[0]
        self.number = float(words[1]) if len(words) > 1 else 100


mode = Mode(["pass"])
stats = {"connections": 0, "requests": 0, "faults": 0, "watched": 0}
watched = b"\0"
open_ones = set()


class Gone(Exception):
    """The connection is to be ended."""


class Connection:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.there = self.back = None
        self.busy = Mode(["pass"])  # what is done with the request under way

    def reset(self):
        sock = self.writer.get_extra_info("socket")
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.writer.transport.abort()
        if self.back:
            self.back.transport.abort()

    async def request(self):
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            if line.startswith(b"expect: 100-continue"):
                self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return head.replace(b"Expect: 100-continue\r\n", b"") + await self.reader.readexactly(length)

    def say(self, status, kind, body):
        self.writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n"
                          f"Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def fault(self, now):
        """What is not forwarded. True when the request is dealt with."""
        if now.name == "cut" or (now.name == "early" and random.random() * 100 < now.number):
            stats["faults"] += now.name == "early"
            self.reset()
            raise Gone
        if now.name == "half":
            self.writer.write_eof()
            await self.reader.read()
            raise Gone
        if now.name == "garbage":
            self.writer.write(GARBAGE)
        elif now.name == "body":
            self.say(200, "application/cbor", GARBAGE)
        elif now.name == "status":
            self.say(int(now.number), "text/plain", b"the proxy says so")
        elif now.name == "hole":
            await asyncio.Event().wait()
        else:
            return False
        return True

    async def forward(self, data):
        if not self.back or self.back.is_closing():
            try:
                self.there, self.back = await asyncio.open_connection("127.0.0.1", target)
            except OSError:
                self.reset()  # nobody there
                raise Gone from None
            asyncio.ensure_future(self.answers(self.there))
        self.back.write(data)
        await self.back.drain()

    async def answers(self, there):
        try:
            while data := await there.read(262144):
                now = self.busy
                if mode.name in ("hole", "cut") and not mode.text:
                    now = mode
                if now.name == "delay":
                    await asyncio.sleep(now.number / 1000)
                if now.name == "lost" and random.random() * 100 < now.number:
                    stats["faults"] += 1
                    self.reset()
                    return
                if now.name != "hole":
                    self.writer.write(data)
                    await self.writer.drain()
        except OSError:
            pass
        if not self.writer.is_closing():
            self.writer.close()

    async def run(self):
        try:
            while True:
                data = await self.request()
                stats["requests"] += 1
                stats["watched"] += watched in data
                self.busy = mode if mode.text in data else Mode(["pass"])
                if self.busy.name not in ("pass", "delay", "lost", "early"):
                    stats["faults"] += 1
                if not await self.fault(self.busy):
                    await self.forward(data)
                await self.writer.drain()
        except (Gone, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        self.writer.close()
        if self.back:
            self.back.close()


async def serve(reader, writer):
    stats["connections"] += 1
    one = Connection(reader, writer)
    open_ones.add(one)
    try:
        if mode.name == "cut" and not mode.text:
            stats["faults"] += 1
            one.reset()
        else:
            await one.run()
    finally:
        open_ones.discard(one)


async def control(reader, writer):
    global mode, watched
    words = (await reader.readline()).decode().split()
    answer = "ok"
    if words[0] == "stats":
        answer = json.dumps(stats)
    elif words[0] in ("pass", "cut", "hole", "delay", "half", "garbage", "body", "status", "lost", "early"):
        mode = Mode(words)
    elif words[0] == "watch":
        watched, stats["watched"] = " ".join(words[1:]).encode(), 0
    elif words[0] != "reset":
        answer = "not known"
    if words[0] == "reset" or (words[0] == "cut" and not mode.text):
        for one in list(open_ones):
            one.reset()
    writer.write((answer + "\n").encode())
    await writer.drain()
    writer.close()


async def main():
    ports = []
    for serves in (serve, control):
        server = await asyncio.start_server(serves, "127.0.0.1", 0, limit=64 << 20)
        ports.append(server.sockets[0].getsockname()[1])
    print("port", ports[0], "control", ports[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
