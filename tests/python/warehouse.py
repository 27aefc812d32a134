"""Reads Delta tables with delta-rs and DuckDB, and prints JSON.

warehouse.py query WAREHOUSE SQL       rows of SQL over the tables, named <layer>.<table>
warehouse.py compare ONE TWO           what differs between two warehouses, as multisets of rows
warehouse.py poll WAREHOUSE            reads the tables again and again until stdin closes; prints what it saw
"""
import decimal
import json
import pathlib
import select
import sys

import duckdb
from deltalake import DeltaTable


def tables(warehouse):
    found = {}
    for log in sorted(pathlib.Path(warehouse).glob("*/*/_delta_log")):
        # A folder without a commit is no table yet, or the rest of a load that failed.
        if not any(log.glob("*.json")):
            continue
        table = log.parent
        found[f"{table.parent.name}.{table.name}"] = table
    return found


def register(connection, warehouse):
    names = []
    for name, path in tables(warehouse).items():
        layer, table = name.split(".")
        arrow = DeltaTable(str(path)).to_pyarrow_table()
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{layer}"')
        connection.register(f"{layer}_{table}_arrow", arrow)
        connection.execute(f'CREATE TABLE "{layer}"."{table}" AS SELECT * FROM "{layer}_{table}_arrow"')
        connection.unregister(f"{layer}_{table}_arrow")
        names.append(name)
    return names


def connect():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def plain(value):
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value)


def query(warehouse, sql):
    connection = connect()
    register(connection, warehouse)
    return [[plain(value) for value in row] for row in connection.execute(sql).fetchall()]


def compare(one, two):
    differences = []
    sides = {"one": one, "two": two}
    connections = {}
    names = {}
    connection = connect()
    for side, warehouse in sides.items():
        connection.execute(f"ATTACH ':memory:' AS {side}")
        connection.execute(f"USE {side}")
        names[side] = register(connection, warehouse)
    connection.execute("USE memory")
    for name in sorted(set(names["one"]) ^ set(names["two"])):
        differences.append(f"{name} is only in {'one' if name in names['one'] else 'two'}")
    for name in sorted(set(names["one"]) & set(names["two"])):
        columns = [connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE {side}.{name})").fetchall() for side in sides]
        if columns[0] != columns[1]:
            differences.append(f"{name}: columns {columns[0]} and {columns[1]}")
            continue
        for here, there in (("one", "two"), ("two", "one")):
            extra = connection.execute(f"SELECT count(*) FROM (FROM {here}.{name} EXCEPT ALL FROM {there}.{name})").fetchone()[0]
            if extra:
                differences.append(f"{name}: {extra} rows only in {here}")
    return differences


def poll(warehouse):
    """What a reader may see of a first run of `market`: nothing, or a whole prefix, or all; never a part of a batch."""
    seen = {}
    faults = []
    reads = 0
    last = {}
    while not select.select([sys.stdin], [], [], 0)[0]:
        for name, path in tables(warehouse).items():
            try:
                table = DeltaTable(str(path))
                arrow = table.to_pyarrow_table()
            except Exception as error:
                # A folder whose first commit is not there yet is no table.
                if "not a Delta table" in str(error) or "No files in log segment" in str(error) or "no log files" in str(error).lower():
                    continue
                faults.append(f"{name}: {error}")
                continue
            reads += 1
            connection = connect()
            connection.register("t", arrow)
            rows = arrow.num_rows
            if name.startswith("bronze.") and rows:
                order = "trade_id" if name == "bronze.trades_binance" else "message_id"
                newest = connection.execute(f"SELECT max({order}) FROM t").fetchone()[0]
                if newest != rows:
                    faults.append(f"{name} version {table.version()}: {rows} rows, but the newest is {newest}")
            if name.startswith("bronze.") and rows < last.get(name, 0):
                faults.append(f"{name} version {table.version()}: {rows} rows after {last[name]}")
            if name.startswith("gold.") and rows:
                trades = connection.execute("SELECT sum(trades) FROM t").fetchone()[0]
                seen.setdefault("gold trades", set()).add(int(trades))
            if name == "silver.trades":
                seen.setdefault("silver rows", set()).add(rows)
            last[name] = rows
    return {"reads": reads, "faults": faults[:20], "seen": {key: sorted(values) for key, values in seen.items()}}


if __name__ == "__main__":
    print(json.dumps({"query": query, "compare": compare, "poll": poll}[sys.argv[1]](*sys.argv[2:])))
