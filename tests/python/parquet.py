"""Writes the rows of a query into one Parquet file: parquet.py FILE SQL."""
import json
import sys

import duckdb

FILE, SQL = sys.argv[1:]
duckdb.sql(SQL).write_parquet(FILE)
print(json.dumps("written"))
