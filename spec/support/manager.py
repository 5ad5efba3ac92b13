#!/usr/bin/env python3
"""manager.py - a service manager for specs, as small as can be: holds a listening socket (as many as
MANAGER_SOCKETS says, PORTFILE has a line for each), starts a
program with it (LISTEN_FDS, LISTEN_PID, NOTIFY_SOCKET, WATCHDOG_USEC) and prints what it is told.

    manager.py PORTFILE PIDFILE WATCHDOG_USEC PROGRAM ARGS...

SIGHUP: ends the program with SIGTERM, waits for it, starts it again with the same socket.
SIGTERM: ends it, and itself with the program's exit code.
"""
import fcntl
import os
import signal
import socket
import sys

port_file, pid_file, watchdog = sys.argv[1:4]
program = sys.argv[4:]
listeners = [socket.socket() for _ in range(int(os.environ.get("MANAGER_SOCKETS", "1")))]
for listener in listeners:
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind("")  # autobind: an abstract name
name = "@" + notify.getsockname()[1:].decode()
notify.settimeout(0.05)
with open(port_file, "w") as out:
    out.write("\n".join(str(listener.getsockname()[1]) for listener in listeners))
wanted = {"restart": False, "end": False}
signal.signal(signal.SIGHUP, lambda *_: wanted.update(restart=True))
signal.signal(signal.SIGTERM, lambda *_: wanted.update(end=True))


def start():
    pid = os.fork()
    if pid == 0:
        # Out of the way of each other first.
        high = [fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD_CLOEXEC, 100) for listener in listeners]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i, inheritable=True)
        os.environ.update(LISTEN_FDS=str(len(high)), LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=name,
                          WATCHDOG_USEC=watchdog, WATCHDOG_PID=str(os.getpid()))
        os.execv(program[0], program)
    with open(pid_file, "w") as out:
        out.write(str(pid))
    return pid


def listen_once():
    try:
        print(notify.recv(4096).decode().replace("\n", " "), flush=True)
    except TimeoutError:
        pass


def end(child):
    os.kill(child, signal.SIGTERM)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        listen_once()
        if done:
            return os.waitstatus_to_exitcode(status)


child = start()
while not wanted["end"]:
    listen_once()
    if wanted["restart"]:
        wanted["restart"] = False
        print("ended %d" % end(child), flush=True)
        child = start()
sys.exit(end(child))
