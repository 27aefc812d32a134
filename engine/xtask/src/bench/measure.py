"""Runs one command and prints what it took, as one JSON line: measure.py JOB, where JOB is a JSON object.

Counted are the command and all its descendants: CPU time once they have ended, memory summed over those that are alive, sampled every few
milliseconds. A job may name server processes, whose CPU time is told apart, and a database whose longest writing transaction is to be observed.
"""
import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import threading
import time

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: who leaves the tree is adopted here, so that its CPU time is counted


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""  # it has ended meanwhile


def family(pid):
    found, open_ends = [], [pid]
    while open_ends:
        parent = open_ends.pop()
        found.append(parent)
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                open_ends += map(int, read(f"/proc/{parent}/task/{thread}/children").split())
    return found


def tree_bytes(pid):
    # A child made by vfork shows its parent's memory until it has become another program: the same number is counted once.
    sizes = {int(pages[1]) for member in family(pid) if len(pages := read(f"/proc/{member}/statm").split()) > 1}
    return sum(sizes) * PAGE


def server_seconds(pids):
    ticks = 0
    for server in pids:
        for member in family(server):
            fields = read(f"/proc/{member}/stat").rpartition(")")[2].split()
            if fields:
                # Of the server itself also what its ended children took: PostgreSQL has a process per connection.
                ticks += sum(map(int, fields[11:15] if member == server else fields[11:13]))
    return ticks / TICKS


def machine_seconds():
    fields = list(map(int, read("/proc/stat").split("\n")[0].split()[1:]))
    return (sum(fields[:3]) + sum(fields[5:7])) / TICKS


def own_seconds(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def watch_postgres(url, done):
    import psycopg2

    session = psycopg2.connect(url)
    session.autocommit = True
    cursor = session.cursor()
    longest = 0.0
    while not done.wait(0.05):
        cursor.execute(
            "SELECT coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0)::float8 FROM pg_stat_activity"
            " WHERE backend_xid IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        longest = max(longest, cursor.fetchone()[0])
    return longest


def watch_mysql(url, done):
    from urllib.parse import urlsplit

    import pymysql

    parts = urlsplit(url)
    session = pymysql.connect(host=parts.hostname, port=parts.port, user=parts.username, password=parts.password, autocommit=True)
    cursor = session.cursor()
    first_seen, longest = {}, 0.0
    # The server refreshes this view only when nobody has read it for a tenth of a second.
    while not done.wait(0.12):
        cursor.execute("SELECT trx_id, trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_rows_modified > 0")
        now = time.perf_counter()
        for transaction in cursor.fetchall():
            longest = max(longest, now - first_seen.setdefault(transaction, now))
    return longest


def reap(patience):
    """Waits for whoever outlived the command, and ends who does not end."""
    deadline = time.monotonic() + patience
    with contextlib.suppress(ChildProcessError):
        while True:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                if time.monotonic() > deadline:
                    kill(family(os.getpid())[1:])
                time.sleep(0.02)


def kill(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def main(job):
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    servers, watched = job["servers"], job["watch"]
    done, seen = threading.Event(), {"peak": 0, "longest": None}

    def sample(pid):
        while not done.wait(0.01):
            seen["peak"] = max(seen["peak"], tree_bytes(pid))

    def watch():
        seen["longest"] = (watch_postgres if watched.startswith("postgres") else watch_mysql)(watched, done)

    threads = [threading.Thread(target=watch)] if watched else []
    for thread in threads:
        thread.start()
    before = (server_seconds(servers), machine_seconds(), own_seconds(resource.RUSAGE_SELF))
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.setsid()
        out = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        try:
            os.execvpe(job["command"][0], job["command"], {**os.environ, **job["environment"]})
        except OSError as error:
            os.write(2, f"cannot start {job['command'][0]}: {error}\n".encode())
        os._exit(127)
    threads.append(threading.Thread(target=sample, args=(child,)))
    threads[-1].start()
    over_limit = threading.Event()

    def give_up():
        over_limit.set()
        kill(family(child))

    limit = threading.Timer(job["limit_seconds"], give_up)
    limit.start()
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - start
    limit.cancel()
    done.set()
    for thread in threads:
        thread.join()
    reap(15)
    cpu = own_seconds(resource.RUSAGE_CHILDREN)
    server = server_seconds(servers) - before[0]
    other = machine_seconds() - before[1] - (own_seconds(resource.RUSAGE_SELF) - before[2]) - cpu - server
    print(json.dumps({
        "exit": os.waitstatus_to_exitcode(status),
        "over_limit": over_limit.is_set(),
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "server_cpu_seconds": server,
        "other_cpu_seconds": max(0.0, other),
        "peak_bytes": max(seen["peak"], usage.ru_maxrss * 1024),
        "longest_transaction_seconds": seen["longest"],
    }))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
