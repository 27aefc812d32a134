"""How the peers are told to do a job: peers.py plan JOB prints command and environment, peers.py run JOB is what some of these commands are.

A job is a JSON object: `peer`, `from` and `to` (systems, or `parquet`), `mode` (`copy`, `upsert` by the key, or `increment`: rows with a greater key),
`table` in the database `source`, `result` (a path, or a table in the database `target`), and `work`, a folder. Each peer is used the way its
documentation recommends for speed; where it has a choice, Parquet is compressed with snappy.
"""
import glob
import json
import os
import shlex
import sys

import database

QUIET = {
    "DO_NOT_TRACK": "1",
    "DISABLE_TELEMETRY": "true",
    "INGESTR_DISABLE_TELEMETRY": "true",
    "SLING_DISABLE_TELEMETRY": "true",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "HOME": f"{database.HERE}/home",
    "SLING_HOME_DIR": f"{database.HERE}/home/sling",
}
ROW_GROUP = 131_072


def pipe(*commands):
    return ["bash", "-c", "set -o pipefail; " + " | ".join(shlex.join(command) for command in commands)]


def server_url(job, side):
    """Sling and ingestr agree on these."""
    system = job[side]
    name = "source" if side == "from" else "target"
    return database.url(system, name, "postgresql", "?sslmode=disable") if system == "postgres" else database.url(system, name)


def qualified(system, name, table):
    return f"public.{table}" if system == "postgres" else f"{name}.{table}"


def key(job):
    return database.columns(job["from"], job["table"])[0][0]


def sling(job):
    program = glob.glob(f"{os.path.dirname(sys.executable)}/../lib/*/site-packages/sling_linux_amd64/bin/sling-linux-amd64")[0]
    os.chmod(program, 0o755)
    stream = {"object": f"file://{job['result']}" if job["to"] == "parquet" else qualified(job["to"], "target", job["result"])}
    options = {}
    if job["to"] == "mysql":
        options = {"use_bulk": True, "table_keys": {"primary": [key(job)]}}
    # Its own writer: the other one calls a DuckDB of a version that it fetches itself.
    environment = {"SOURCE": server_url(job, "from"), "SLING_DUCKDB_COMPUTE": "false"}
    if job["to"] != "parquet":
        environment["TARGET"] = server_url(job, "to")
    mode = {"copy": {"mode": "full-refresh"}, "upsert": {"mode": "incremental", "primary_key": [key(job)]}, "increment": {"mode": "incremental", "update_key": key(job)}}
    replication = {
        "source": "SOURCE",
        "target": "LOCAL" if job["to"] == "parquet" else "TARGET",
        "defaults": {**mode[job["mode"]], "target_options": options},
        "streams": {qualified(job["from"], "source", job["table"]): stream},
    }
    path = f"{job['work']}/replication.json"
    with open(path, "w") as file:
        json.dump(replication, file)
    return [program, "run", "--replication", path], environment


def ingestr(job):
    program = f"{os.environ['BENCH_INGESTR']}/bin/ingestr"
    command = [program, "ingest", "--yes", "--progress", "log", "--source-uri", server_url(job, "from"), "--source-table", qualified(job["from"], "source", job["table"])]
    if job["to"] == "parquet":
        return [*command, "--dest-uri", f"parquet://{job['result']}", "--dest-table", f"bench.{job['table']}"], {}
    command += ["--dest-uri", server_url(job, "to"), "--dest-table", qualified(job["to"], "target", job["result"])]
    merge = ["--incremental-strategy", "merge", "--primary-key", key(job)]
    strategy = {"copy": ["--incremental-strategy", "replace"], "upsert": merge, "increment": [*merge, "--incremental-key", key(job)]}
    return command + strategy[job["mode"]], {}


def this_script(job):
    return [sys.executable, os.path.abspath(__file__), "run", json.dumps(job)], {}


def copy_pipe(job):
    table, result = job["table"], job["result"]
    if job["from"] == "postgres":
        make = [*database.psql_command("target"), "--command", create_like(job)]
        read = [*database.psql_command("source"), "--command", f"COPY {table} TO STDOUT (FORMAT binary)"]
        write = [*database.psql_command("target"), "--command", f"COPY {result} FROM STDIN (FORMAT binary)"]
        return ["bash", "-c", f"set -e; {shlex.join(make)}; " + pipe(read, write)[2]], {}
    return pipe(mariadb_rows(table), database.mariadb_command("target", "--local-infile=1", "--execute", f"CREATE TABLE {result} LIKE source.{table}; {load_data(result)}")), {}


def mariadb_rows(table):
    return database.mariadb_command("source", "--quick", "--batch", "--skip-column-names", "--default-character-set=utf8mb4", "--execute", f"SELECT * FROM {table}")


def load_data(table):
    """The client prints NULL as a word, which is read as NULL only where values may be enclosed."""
    return f"LOAD DATA LOCAL INFILE '/dev/stdin' INTO TABLE {table} CHARACTER SET utf8mb4 FIELDS OPTIONALLY ENCLOSED BY '\"'"


def create_like(job):
    fields = ", ".join(f"{name} {declared}" for name, declared in database.columns(job["from"], job["table"]))
    return f"CREATE TABLE {job['result']} ({fields}, PRIMARY KEY ({key(job)}))"


def dump_pipe(job):
    """The dump names the table: it arrives under the same name."""
    if job["from"] == "postgres":
        return pipe(["pg_dump", f"--table={job['table']}", database.url("postgres", "source", "postgresql")], database.psql_command("target", "--output=/dev/null")), {}
    dump = [*database.mariadb_command("source", "--quick", "--single-transaction", "--extended-insert", "--skip-lock-tables", program="mysqldump"), job["table"]]
    return pipe(dump, database.mariadb_command("target")), {}


def client_upsert(job):
    """Rows through a pipe into a temporary table, then one statement."""
    table, result = job["table"], job["result"]
    names = [name for name, _ in database.columns(job["from"], table)]
    merge = database.upsert(job["to"], result, "staged", names)
    if job["from"] == "postgres":
        read = [*database.psql_command("source"), "--command", f"COPY {table} TO STDOUT (FORMAT binary)"]
        steps = [f"CREATE TEMPORARY TABLE staged (LIKE {result})", "COPY staged FROM STDIN (FORMAT binary)", merge]
        return pipe(read, database.psql_command("target", *[word for step in steps for word in ("--command", step)])), {}
    sql = f"CREATE TEMPORARY TABLE staged LIKE {result}; {load_data('staged')}; {merge}"
    return pipe(mariadb_rows(table), database.mariadb_command("target", "--local-infile=1", "--execute", sql)), {}


def server_upsert(job):
    """Both tables in one server, and no tool at all: what is left is the server's own work."""
    names = [name for name, _ in database.columns(job["from"], job["table"])]
    source = f"source.{job['table']}" if job["from"] == "mysql" else job["table"]
    merge = database.upsert(job["to"], job["result"], source, names)
    return (database.mariadb_command("target", "--execute", merge) if job["to"] == "mysql" else [*database.psql_command("target"), "--command", merge]), {}


def run_connectorx(job, partitions):
    import connectorx
    import pyarrow.parquet

    # As a stream, so that it need not hold the whole table.
    options = {"partition_on": key(job), "partition_num": partitions} if partitions > 1 else {}
    address = database.url(job["from"], "source", "postgresql" if job["from"] == "postgres" else None)
    stream = connectorx.read_sql(address, f"SELECT * FROM {job['table']}", return_type="arrow_stream", batch_size=ROW_GROUP, protocol="binary", **options)
    with pyarrow.parquet.ParquetWriter(job["result"], stream.schema, compression="snappy") as writer:
        for batch in stream:
            writer.write_batch(batch)


def run_duckdb(job):
    import duckdb

    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    attached = set()
    for side, name in (("from", "source"), ("to", "target")):
        system = job[side]
        if system == "parquet":
            continue
        if system not in attached:
            package = __import__(f"duckdb_extension_{system}_scanner")
            connection.execute(f"LOAD '{glob.glob(os.path.dirname(package.__file__) + '/extensions/*/*.duckdb_extension')[0]}'")
            attached.add(system)
        address = f"host=127.0.0.1 port={database.PORTS[system]} user={database.USER} password={database.PASSWORD} {'database' if system == 'mysql' else 'dbname'}={name}"
        connection.execute(f"ATTACH '{address}' AS {name}_side (TYPE {system})")
    source = f"source_side.{'source' if job['from'] == 'mysql' else 'public'}.{job['table']}"
    if job["to"] == "parquet":
        connection.execute(f"COPY (SELECT * FROM {source}) TO '{job['result']}' (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE {ROW_GROUP})")
        return
    schema = f"target_side.{'target' if job['to'] == 'mysql' else 'public'}"
    if job["mode"] == "copy":
        connection.execute(f"CREATE TABLE {schema}.{job['result']} AS SELECT * FROM {source}")
        return
    # Like the target: a table that it makes itself has no fractions of seconds on MariaDB.
    like = f"LIKE {job['result']}" if job["to"] == "mysql" else f"(LIKE {job['result']})"
    connection.execute(f"CALL {job['to']}_execute('target_side', ?)", [f"CREATE TABLE staged {like}"])
    connection.execute(f"INSERT INTO {schema}.staged SELECT * FROM {source}")
    names = [name for name, _ in database.columns(job["from"], job["table"])]
    connection.execute(f"CALL {job['to']}_execute('target_side', ?)", [database.upsert(job["to"], job["result"], "staged", names)])
    connection.execute(f"DROP TABLE {schema}.staged")


def run_dlt(job):
    os.environ.update({
        "RUNTIME__LOG_LEVEL": "ERROR",
        "EXTRACT__WORKERS": "2",
        "NORMALIZE__WORKERS": "2",
        "LOAD__WORKERS": "2",
        "DATA_WRITER__BUFFER_MAX_ITEMS": "200000",
        "DATA_WRITER__FILE_MAX_ITEMS": "2000000" if job["to"] == "parquet" else "500000",
        "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
        "LOAD__DELETE_COMPLETED_JOBS": "true",
    })
    import dlt
    from dlt.sources.sql_database import sql_table

    driver = {"mysql": "mysql+pymysql", "postgres": "postgresql+psycopg2"}
    chunk = 200_000 if job["table"] != "sales_wide" else 50_000
    plain = database.url(job["from"], "source", "postgresql" if job["from"] == "postgres" else None)
    resource = sql_table(
        credentials=database.url(job["from"], "source", driver[job["from"]]),
        table=job["table"],
        backend="connectorx",
        chunk_size=chunk,
        reflection_level="full_with_precision",
        incremental=dlt.sources.incremental(key(job)) if job["mode"] == "increment" else None,
        backend_kwargs={"return_type": "arrow_stream", "batch_size": chunk, "conn": plain},
    )
    if job["to"] == "parquet":
        destination, dataset = dlt.destinations.filesystem(bucket_url=f"file://{job['result']}"), "bench"
    elif job["to"] == "postgres":
        destination, dataset = dlt.destinations.postgres(database.url("postgres", "target", "postgresql")), "public"
    else:
        # Without keys its merge compares every row with every row.
        destination, dataset = dlt.destinations.sqlalchemy(database.url("mysql", "target", "mysql+pymysql"), create_primary_keys=True), "target"
    disposition = {"copy": "replace", "increment": "append", "upsert": {"disposition": "merge", "strategy": "delete-insert"}}
    resource.apply_hints(table_name=None if job["to"] == "parquet" else job["result"], write_disposition=disposition[job["mode"]], primary_key=key(job) if job["mode"] == "upsert" else None)
    pipeline = dlt.pipeline(pipeline_name="bench", destination=destination, dataset_name=dataset, pipelines_dir=f"{job['work']}/dlt")
    pipeline.run(resource, loader_file_format="csv" if job["to"] == "postgres" else "parquet")


PLANS = {"sling": sling, "ingestr": ingestr, "copy_pipe": copy_pipe, "dump_pipe": dump_pipe, "client_upsert": client_upsert, "server_upsert": server_upsert}
RUNS = {
    "connectorx": lambda job: run_connectorx(job, 1),
    "connectorx_2": lambda job: run_connectorx(job, 2),
    "duckdb": run_duckdb,
    "dlt": run_dlt,
}

if __name__ == "__main__":
    asked = json.loads(sys.argv[2])
    if sys.argv[1] == "plan":
        os.makedirs(QUIET["HOME"], exist_ok=True)
        words, extra = PLANS.get(asked["peer"], this_script)(asked)
        print(json.dumps({"command": words, "environment": {**QUIET, **extra}}))
    else:
        RUNS[asked["peer"]](asked)
