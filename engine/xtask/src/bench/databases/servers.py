"""A private PostgreSQL and a private MariaDB: servers.py FOLDER

Prints one JSON line when both take connections, and stops them when its input ends. What they hold stays in the folder for the next start.
"""
import glob
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time

USER = PASSWORD = "bench"
POSTGRES = {
    "shared_buffers": "2GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "synchronous_commit": "off",
    "maintenance_work_mem": "512MB",
    "work_mem": "64MB",
    "wal_level": "logical",
    "timezone": "UTC",
}
MARIADB = {
    "innodb-buffer-pool-size": "5G",
    "innodb-log-file-size": "2G",
    "innodb-flush-log-at-trx-commit": "2",
    "innodb-io-capacity": "2000",
    "log-bin": "binlog",
    "binlog-format": "ROW",
    "sync-binlog": "0",
    "max-binlog-size": "256M",
    "max-allowed-packet": "256M",
    "local-infile": "1",
    "character-set-server": "utf8mb4",
    "collation-server": "utf8mb4_general_ci",
    "default-time-zone": "+00:00",
    "performance-schema": "OFF",
}


def program(name):
    hidden = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), key=lambda path: int(path.split("/")[4]))
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or (hidden[-1] if hidden else None)
    return found or sys.exit(f"no `{name}`: install the packages postgresql and mariadb-server")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """One server in a folder of its own; as root it runs as the user that its package made, because servers refuse to be root."""

    def __init__(self, folder, user):
        self.folder, self.port = folder, free_port()
        self.account = {"user": user, "group": pwd.getpwnam(user).pw_gid} if os.geteuid() == 0 else {}
        os.makedirs(folder, exist_ok=True)
        if self.account:
            shutil.chown(folder, user)

    def run(self, *command):
        with open(f"{self.folder}.log", "a") as log:
            subprocess.run(command, check=True, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.account)

    def start(self, command, is_ready, stop):
        with open(f"{self.folder}.log", "a") as log:
            # Apart from the terminal: an interrupt ends the chore, and its end ends the servers in order.
            self.process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self.account)
        self.signal = stop
        deadline = time.monotonic() + 120
        while subprocess.run(is_ready, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the server does not start: see {self.folder}.log")
            time.sleep(0.1)

    def stop(self):
        self.process.send_signal(self.signal)
        self.process.wait()


def postgres(root):
    server = Server(f"{root}/postgres", "postgres")
    data = f"{server.folder}/data"
    if not os.path.exists(f"{data}/PG_VERSION"):
        server.run(program("initdb"), "--pgdata", data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
    settings = {**POSTGRES, "port": server.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
    command = [program("postgres"), "-D", data] + [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    server.start(command, [program("pg_isready"), "--host=127.0.0.1", f"--port={server.port}"], signal.SIGINT)
    client = [program("psql"), "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--host=127.0.0.1", f"--port={server.port}", "--username=postgres", "--dbname=postgres", "--command"]

    def ask(sql):
        return subprocess.run([*client, sql], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    if not ask(f"SELECT 1 FROM pg_roles WHERE rolname = '{USER}'"):
        ask(f"CREATE ROLE {USER} SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
        ask("CREATE DATABASE source")
    return server, f"PostgreSQL {ask('SHOW server_version')}"


def mariadb(root):
    server = Server(f"{root}/mariadb", "mysql")
    data, door = f"{server.folder}/data", f"{server.folder}/socket"
    if not os.path.exists(f"{data}/mysql"):
        server.run(program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db")
    settings = {**MARIADB, "datadir": data, "socket": door, "port": server.port, "bind-address": "127.0.0.1", "server-id": 1}
    command = [program("mariadbd"), "--no-defaults", "--skip-name-resolve"] + [f"--{name}={value}" for name, value in settings.items()]
    root_login = ["--no-defaults", "--user=root", f"--socket={door}"]
    server.start(command, [program("mariadb-admin"), *root_login, "ping"], signal.SIGTERM)

    def ask(sql):
        return subprocess.run([program("mariadb"), *root_login, "--batch", "--skip-column-names", "--execute", sql], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    ask(f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO '{USER}'@'%'; CREATE DATABASE IF NOT EXISTS source")
    return server, f"MariaDB {ask('SELECT version()')}"


def main(root):
    os.makedirs(root, exist_ok=True)
    started = []
    try:
        started.append(postgres(root))
        started.append(mariadb(root))
        said = {
            "postgres_port": started[0][0].port,
            "mysql_port": started[1][0].port,
            "processes": [server.process.pid for server, _ in started],
            "versions": [version for _, version in started],
            "settings": [", ".join(f"{name} = {value}" for name, value in settings.items()) for settings in (POSTGRES, MARIADB)],
        }
        print(json.dumps(said), flush=True)
        sys.stdin.read()
    finally:
        for server, _ in started:
            server.stop()


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
