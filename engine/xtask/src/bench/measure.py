"""Runs one command and prints what it took, as one JSON line: measure.py LOG COMMAND..."""
import json
import os
import sys
import time

log, command = sys.argv[1], sys.argv[2:]
start = time.perf_counter()
child = os.fork()
if child == 0:
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"cannot start {command[0]}: {error}\n".encode())
        os._exit(127)
_, status, usage = os.wait4(child, 0)
wall = time.perf_counter() - start
print(json.dumps({
    "exit": os.waitstatus_to_exitcode(status),
    "wall_seconds": wall,
    "cpu_seconds": usage.ru_utime + usage.ru_stime,
    "peak_bytes": usage.ru_maxrss * 1024,
}))
