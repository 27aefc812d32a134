"""The two private servers, as their own clients see them; ports come from the environment."""
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = f"{HERE}/data"
USER = PASSWORD = "bench"
PORTS = {"mysql": os.environ["BENCH_MYSQL_PORT"], "postgres": os.environ["BENCH_POSTGRES_PORT"]}


class Refused(Exception):
    """A server said no."""


def url(system, database, scheme=None, options=""):
    return f"{scheme or system}://{USER}:{PASSWORD}@127.0.0.1:{PORTS[system]}/{database}{options}"


def mariadb_command(database, *options, program="mariadb"):
    return [program, "--no-defaults", "--host=127.0.0.1", f"--port={PORTS['mysql']}", f"--user={USER}", f"--password={PASSWORD}", *options, database]


def psql_command(database, *options):
    return ["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--field-separator=\t", "--set=ON_ERROR_STOP=1", *options, url("postgres", database, "postgresql")]


def ask(system, sql, database="source"):
    """Runs statements with the server's own client and returns what it prints."""
    if system == "mysql":
        command = mariadb_command(database, "--local-infile=1", "--default-character-set=utf8mb4", "--batch", "--skip-column-names", "--execute", sql)
    else:
        # Each on its own: VACUUM and CREATE DATABASE refuse to be part of a transaction, which several statements of one --command are.
        command = psql_command(database, *[word for statement in sql.split(";") if statement.strip() for word in ("--command", statement)])
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PGOPTIONS": "-c client_min_messages=warning"})
    if done.returncode:
        raise Refused(f"{system}: {done.stderr.strip()}\nin: {sql[:500]}")
    return done.stdout.strip()


def columns(system, table, database="source"):
    """Names and declared types of a table, in order."""
    if system == "mysql":
        sql = f"SELECT column_name, column_type FROM information_schema.columns WHERE table_schema = '{database}' AND table_name = '{table}' ORDER BY ordinal_position"
    else:
        sql = f"SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = to_regclass('public.{table}') AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    return [tuple(line.split("\t")) for line in ask(system, sql, database).splitlines()]


def upsert(system, into, source, names):
    """The statement that adds the rows of `source` and replaces those of the same id."""
    listed = ", ".join(names)
    if system == "mysql":
        changes = "ON DUPLICATE KEY UPDATE " + ", ".join(f"{name} = VALUES({name})" for name in names[1:])
    else:
        changes = f"ON CONFLICT ({names[0]}) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    return f"INSERT INTO {into} ({listed}) SELECT {listed} FROM {source} {changes}"
