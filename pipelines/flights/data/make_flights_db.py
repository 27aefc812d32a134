#!/usr/bin/env python3
"""Builds flights.db from the package's flights.csv.gz: make_flights_db.py FLIGHTS_CSV_GZ OUT.

The rows of the first six months, unchanged and complete, in a compact SQLite table: integers as integers, `NA` as NULL,
`time_hour` as seconds since 1970-01-01 UTC. `hour` and `minute` are left out: they are the two halves of `sched_dep_time`.
The same input gives the same rows in the same order; needs nothing but Python.
"""
import csv
import datetime
import gzip
import os
import sqlite3
import sys

MONTHS = 6
COLUMNS = (
    "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay "
    "carrier flight tailnum origin dest air_time distance time_hour"
).split()
TEXT = {"carrier", "tailnum", "origin", "dest"}
NULLABLE = {"dep_time", "dep_delay", "arr_time", "arr_delay", "tailnum", "air_time"}
KEY = ["time_hour", "carrier", "flight", "origin"]


def value(column, text):
    if text == "NA":
        return None
    if column == "time_hour":
        return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())
    return text if column in TEXT else int(text)


def main(source, target):
    with gzip.open(source, "rt", newline="") as lines:
        rows = [tuple(value(c, row[c]) for c in COLUMNS) for row in csv.DictReader(lines) if int(row["month"]) <= MONTHS]
    places = [COLUMNS.index(c) for c in KEY]
    rows.sort(key=lambda row: [row[place] for place in places])
    if os.path.exists(target):
        os.remove(target)
    database = sqlite3.connect(target, isolation_level=None)
    database.execute("PRAGMA page_size = 65536")
    declared = [f"  {c} {'TEXT' if c in TEXT else 'INTEGER'}{'' if c in NULLABLE else ' NOT NULL'}" for c in COLUMNS]
    declared.append(f"  PRIMARY KEY ({', '.join(KEY)})")
    database.execute("CREATE TABLE flights (\n" + ",\n".join(declared) + "\n) WITHOUT ROWID")
    database.execute("BEGIN")
    database.executemany(f"INSERT INTO flights VALUES ({', '.join('?' * len(COLUMNS))})", rows)
    database.execute("COMMIT")
    database.execute("VACUUM")
    database.close()
    print(f"{len(rows)} rows, {os.path.getsize(target)} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
