"""Compares a result with its source, without the help of any tool that was measured.

check.py parquet FOLDER TABLE: Parquet files, with the rows that were generated, by DuckDB.
check.py SYSTEM TABLE SOURCE: a table of the database `target`, with one of the database `source`, by the server itself.

All values of a row go into a hash, the hashes of all rows into a sum; when it differs, sums of single columns say which are wrong.
Prints {"wrong": [...], "types": [...]}: what has other values, and what has the same values in another type.
"""
import glob
import json
import os
import re
import sys

import database
import duckdb

EMPTY = "\\\\N"


def kind(declared):
    """What a declared type promises; lengths of texts and widths of integers promise nothing that the values do not show."""
    declared = declared.lower().strip()
    if found := re.match(r"(?:decimal|numeric)\((\d+),(\d+)\)", declared):
        return f"decimal({found[1]},{found[2]})"
    if re.match(r"(u?(tiny|small|medium|big|huge)?int(eger)?|bool)", declared):
        return "integer"
    if re.match(r"(datetime|timestamp)(\(\d\))?( without time zone|_\w+)?$", declared):
        return "timestamp"
    return "text" if re.match(r"(varchar|character|char|(tiny|medium|long)?text)", declared) else declared


class Parquet:
    def __init__(self, table):
        self.duckdb = duckdb.connect()
        self.duckdb.execute("SET TimeZone = 'UTC'")
        self.source = f"read_parquet('{database.DATA}/{table}.parquet')"
        self.names = self.describe(self.source)

    def describe(self, relation):
        return {name.lower(): declared for name, declared, *_ in self.duckdb.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}

    def value(self, name, declared):
        wanted = kind(declared)
        if wanted == "integer":
            # A boolean may have become a number.
            return f"{name}::VARCHAR IN ('1', 'true')" if declared == "BOOLEAN" else f"{name}::HUGEINT"
        return f"epoch_us({name}::TIMESTAMP)" if wanted == "timestamp" else f"{name}::{declared}"

    def rows(self, relation, values):
        return self.ask(relation, ["count(*)", f"sum(hash({', '.join(values)})::HUGEINT)"])

    def columns(self, relation, values):
        return self.ask(relation, [f"sum(hash({value})::HUGEINT)" for value in values])

    def ask(self, relation, sums):
        return [str(value) for value in self.duckdb.execute(f"SELECT {', '.join(sums)} FROM {relation}").fetchone()]


class Server:
    def __init__(self, system, table):
        self.system, self.source = system, ("source", table)
        self.names = dict(database.columns(system, table))

    def describe(self, relation):
        return {name.lower(): declared for name, declared in database.columns(self.system, relation[1], relation[0])}

    def value(self, name, declared):
        if self.system == "postgres":
            return f"{name}::{declared}"
        wanted = kind(declared)
        text = {"integer": f"{name} + 0", "timestamp": f"CAST({name} AS DATETIME(6))", "text": name}.get(wanted, f"CAST({name} AS {wanted})")
        return f"COALESCE(CAST({text} AS CHAR), '{EMPTY}')"

    def rows(self, relation, values):
        if self.system == "postgres":
            return self.ask(relation, ["count(*)", f"sum(hashtextextended(ROW({', '.join(values)})::text, 0)::numeric)"])
        return self.ask(relation, ["count(*)", f"SUM(CAST(CONV(LEFT(MD5(CONCAT_WS('|', {', '.join(values)})), 15), 16, 10) AS UNSIGNED))"])

    def columns(self, relation, values):
        if self.system == "postgres":
            return self.ask(relation, [f"sum(hashtextextended(({value})::text, 0)::numeric)" for value in values])
        return self.ask(relation, [f"SUM(CRC32({value}))" for value in values])

    def ask(self, relation, sums):
        return database.ask(self.system, f"SELECT {', '.join(sums)} FROM {relation[1]}", relation[0]).split("\t")


def compare(subject, result):
    found = subject.describe(result)
    missing = [f"no column {name}" for name in subject.names if name not in found]
    if missing:
        return {"wrong": missing, "types": []}
    values = [subject.value(name, declared) for name, declared in subject.names.items()]
    types = [f"{name} {found[name].lower()}" for name, declared in subject.names.items() if kind(found[name]) != kind(declared)]
    expected, got = cached(subject, values), subject.rows(result, values)
    wrong = []
    if got[0] != expected[0]:
        wrong = [f"{got[0]} rows instead of {expected[0]}"]
    elif got != expected:
        pairs = zip(subject.names, subject.columns(subject.source, values), subject.columns(result, values))
        wrong = [f"values of {name}" for name, one, other in pairs if one != other] or ["rows are mixed up"]
    return {"wrong": wrong, "types": types}


def cached(subject, values):
    """The sums of a source do not change while it is measured."""
    system = getattr(subject, "system", "parquet")
    table = os.path.basename(subject.source.split("'")[1]) if system == "parquet" else subject.source[1]
    path = f"{database.DATA}/expected-{system}-{table}.json"
    if not os.path.exists(path):
        with open(path, "w") as file:
            json.dump(subject.rows(subject.source, values), file)
    return json.load(open(path))


def main(where, result, source):
    if where == "parquet":
        files = [file for file in glob.glob(f"{result}/**/*", recursive=True) + [result] if os.path.isfile(file) and "/_dlt" not in file and file.endswith((".parquet", result))]
        if not files:
            print(json.dumps({"wrong": ["no file"], "types": []}))
            return
        answer = compare(Parquet(source), f"read_parquet({files!r})")
    else:
        answer = compare(Server(where, source), ("target", result))
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
