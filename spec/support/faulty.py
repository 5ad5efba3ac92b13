#!/usr/bin/env python3
"""faulty.py - what can be wrong with a service on a port, for specs.

    faulty.py FILE [NUMBER [TARGET]]   listens on NUMBER ports (1) of 127.0.0.1, prints "port N" for
                                       each, and does with each connection what FILE says then:

    pass        forwards to the port TARGET         slow MS    the same, answers come MS later
    silent      takes everything, answers nothing   gone       the first bytes come, then it is gone
                                                               without a FIN or a RST (half-open)
    reset       RST                                 http       is a web server
    other       is a gRPC server, of another service

A line "N MODE" applies to port number N (from 1) only. A line "conn N" goes to FILE.log for each
connection. TERM closes the ports and goes on without them ("closed" is printed); KILL ends it."""
import asyncio
import signal
import socket
import struct
import sys

path = sys.argv[1]
count = int(sys.argv[2]) if len(sys.argv) > 2 else 1
target = int(sys.argv[3]) if len(sys.argv) > 3 else 0
TCP_REPAIR = 19

SETTINGS = b"\0\0\0\4\0\0\0\0\0"
TRAILERS = (b"\x88\x0f\x10\x10application/grpc" + b"\0\x0bgrpc-status\x0212"
            + b"\0\x0cgrpc-message\x07unknown")


def mode_of(number):
    mode = "silent"
    with open(path, encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words and words[0].isdigit():
                if int(words[0]) == number:
                    return words[1:]
            elif words:
                mode = words
    return mode


async def pump(reader, writer, delay):
    try:
        while data := await reader.read(65536):
            if delay:
                await asyncio.sleep(delay)
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def other(reader, writer):
    """HTTP/2 as far as it takes: each request is answered by TRAILERS."""
    await reader.readexactly(24)
    writer.write(SETTINGS)
    while True:
        head = await reader.readexactly(9)
        await reader.readexactly(int.from_bytes(head[:3], "big"))
        if head[3] == 4 and not head[4] & 1:  # SETTINGS
            writer.write(SETTINGS[:4] + b"\1" + SETTINGS[5:])
        elif head[3] == 1:  # HEADERS
            writer.write(len(TRAILERS).to_bytes(3, "big") + b"\1\5" + head[5:] + TRAILERS)
        await writer.drain()


async def serve(number, reader, writer):
    with open(path + ".log", "a", encoding="ascii") as log:
        log.write(f"conn {number}\n")
    mode = mode_of(number)
    sock = writer.get_extra_info("socket")
    if mode[0] in ("pass", "slow"):
        delay = int(mode[1]) / 1000 if mode[0] == "slow" else 0
        there, back = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pump(reader, back, 0), pump(there, writer, delay))
    elif mode[0] == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()
    elif mode[0] == "gone":
        await reader.read(65536)
        sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)  # closing says nothing to the peer
        writer.transport.abort()
    elif mode[0] == "http":
        await reader.read(65536)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")
        await writer.drain()
        writer.close()
    elif mode[0] == "other":
        try:
            await other(reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        writer.close()
    else:
        while await reader.read(65536):
            pass
        writer.close()


async def main():
    servers = []

    def close():
        for server in servers:
            server.close()
        print("closed", flush=True)

    for number in range(1, count + 1):
        servers.append(await asyncio.start_server(
            lambda r, w, n=number: serve(n, r, w), "127.0.0.1", 0))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, close)
    for server in servers:
        print("port", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
