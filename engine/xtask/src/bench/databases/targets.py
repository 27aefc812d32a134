"""The database `target`: targets.py empty|keep|restore SYSTEM [NAME]

`keep` puts it aside under a name, `restore` makes it again from there, page for page, so that each repetition finds the same table.
"""
import contextlib
import os
import shutil
import subprocess
import sys

import database
import pymysql

KEEP = ("source", "postgres", "template0", "template1", "mysql", "information_schema", "performance_schema", "sys")


def databases(system):
    listing = "SHOW DATABASES" if system == "mysql" else "SELECT datname FROM pg_database"
    return database.ask(system, listing).split()


def empty(system, name="target"):
    """Drops whatever tools have made beside the source, and makes an empty database."""
    if system == "mysql":
        # A tool that was killed leaves its statement running in the server.
        for session in database.ask(system, "SELECT id FROM information_schema.processlist WHERE user = 'bench' AND id <> connection_id()").split():
            with contextlib.suppress(database.Refused):  # it has ended by itself
                database.ask(system, f"KILL {session}")
    for other in databases(system):
        if other not in KEEP and not other.startswith("kept_"):
            database.ask(system, f"DROP DATABASE {other}{'' if system == 'mysql' else ' WITH (FORCE)'}")
    database.ask(system, f"CREATE DATABASE {name}")
    calm(system)


def calm(system):
    """What was written before must not be flushed or purged while the next tool is measured."""
    database.ask(system, "FLUSH BINARY LOGS; PURGE BINARY LOGS BEFORE NOW()" if system == "mysql" else "CHECKPOINT")


def tables(name):
    return database.ask("mysql", f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{name}' AND table_type = 'BASE TABLE'").split()


def keep(system, name):
    kept = f"kept_{name}"
    if kept in databases(system):
        database.ask(system, f"DROP DATABASE {kept}")
    if system == "postgres":
        database.ask(system, f"ALTER DATABASE target RENAME TO {kept}; CHECKPOINT")
        return
    database.ask(system, f"CREATE DATABASE {kept}")
    for table in tables("target"):
        database.ask(system, f"RENAME TABLE target.`{table}` TO {kept}.`{table}`")


def restore(system, name):
    kept = f"kept_{name}"
    if system == "postgres":
        empty(system, f"target TEMPLATE {kept} STRATEGY file_copy")
    else:
        empty(system)
        restore_tables(kept)
    # The pages are in memory, as those of a table in use are.
    database.ask(system, "SELECT count(*), sum(amount) FROM transaksi", "target")


def restore_tables(kept):
    names = tables(kept)
    for table in names:
        database.ask("mysql", f"CREATE TABLE target.`{table}` LIKE {kept}.`{table}`; ALTER TABLE target.`{table}` DISCARD TABLESPACE")
    folder = database.ask("mysql", "SELECT @@datadir")
    session = pymysql.connect(host="127.0.0.1", port=int(database.PORTS["mysql"]), user=database.USER, password=database.PASSWORD, database=kept)
    with session, session.cursor() as cursor:
        # The files are complete and at rest as long as this session holds them.
        cursor.execute("FLUSH TABLES " + ", ".join(f"`{table}`" for table in names) + " FOR EXPORT")
        for table in names:
            for ending in ("ibd", "cfg"):
                copy = f"{folder}/target/{table}.{ending}"
                shutil.copy(f"{folder}/{kept}/{table}.{ending}", copy)
                owner = os.stat(f"{folder}/{kept}")
                os.chown(copy, owner.st_uid, owner.st_gid)
        cursor.execute("UNLOCK TABLES")
    for table in names:
        database.ask("mysql", f"ALTER TABLE target.`{table}` IMPORT TABLESPACE; ANALYZE TABLE target.`{table}`")


def prepare_peers(system):
    """What the other tools change: the loaded table, and for the server itself the changes in the same database."""
    empty(system)
    if system == "mysql":
        database.ask(system, "SET SESSION sql_log_bin = 0; CREATE TABLE target.transaksi LIKE transaksi; INSERT INTO target.transaksi SELECT * FROM transaksi")
    else:
        # A statement of PostgreSQL sees one database only.
        wanted = [f"--table={name}" for name in ("transaksi", "changed_50k", "changed_500k")]
        dump = subprocess.run(["pg_dump", *wanted, database.url(system, "source", "postgresql")], check=True, stdout=subprocess.PIPE)
        subprocess.run(database.psql_command("target"), check=True, input=dump.stdout, stdout=subprocess.DEVNULL)
        database.ask(system, "VACUUM (FREEZE, ANALYZE)", "target")
    keep(system, "peers")


if __name__ == "__main__":
    {"empty": empty, "keep": keep, "restore": restore, "peers": prepare_peers}[sys.argv[1]](*sys.argv[2:])
