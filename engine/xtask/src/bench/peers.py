"""The peers: copies table `orders` of an SQLite file to one Parquet file with zstd(3): peers.py PEER DATABASE TARGET.

Each peer does it the way its documentation recommends for speed.
`check` instead prints count and sums of a result as one JSON line, read by DuckDB: peers.py check FORMAT PATH.
"""
import glob
import json
import os
import sys

QUERY = "SELECT * FROM orders"


def load_sqlite(connection):
    import duckdb_extension_sqlite_scanner as extension

    folder = os.path.dirname(extension.__file__)
    connection.execute(f"LOAD '{glob.glob(folder + '/extensions/*/sqlite_scanner.duckdb_extension')[0]}'")


def duckdb_copy(database, target):
    import duckdb

    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    load_sqlite(connection)
    connection.execute(f"COPY (SELECT * FROM sqlite_scan('{database}', 'orders')) TO '{target}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3)")


def connectorx_copy(database, target):
    import connectorx
    import pyarrow.parquet

    table = connectorx.read_sql(f"sqlite://{database}", QUERY, return_type="arrow")
    pyarrow.parquet.write_table(table, target, compression="zstd", compression_level=3)


def connectorx_partitioned_copy(database, target):
    import connectorx
    import pyarrow.parquet

    table = connectorx.read_sql(f"sqlite://{database}", QUERY, return_type="arrow", partition_on="id", partition_num=2)
    pyarrow.parquet.write_table(table, target, compression="zstd", compression_level=3)


def polars_copy(database, target):
    import polars

    polars.read_database_uri(QUERY, f"sqlite://{database}", engine="connectorx").write_parquet(target, compression="zstd", compression_level=3)


PEERS = {
    "duckdb": duckdb_copy,
    "connectorx": connectorx_copy,
    "connectorx (2 partitions)": connectorx_partitioned_copy,
    "polars": polars_copy,
}

SUMS = """
    SELECT count(*) AS rows, sum(id)::VARCHAR AS ids, sum(account_id)::VARCHAR AS accounts, sum(quantity)::VARCHAR AS quantities,
           sum(round(price::DOUBLE * 10000)::HUGEINT)::VARCHAR AS prices, sum(round(amount::DOUBLE * 10000)::HUGEINT)::VARCHAR AS amounts, sum(round(fee::DOUBLE * 10000)::HUGEINT)::VARCHAR AS fees,
           count(note) AS notes, sum(length(symbol)) AS symbol_letters, sum(length(side)) AS side_letters,
           min(created_at::TIMESTAMP)::VARCHAR AS first_created, max(updated_at::TIMESTAMP)::VARCHAR AS last_updated
    FROM {source}
"""


def check(kind, path):
    import duckdb

    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    if kind == "sqlite":
        load_sqlite(connection)
        source = f"sqlite_scan('{path}', 'orders')"
    elif kind == "delta":
        from deltalake import DeltaTable

        files = DeltaTable(path).file_uris()
        source = f"read_parquet({files!r})"
    elif kind == "folder":
        source = f"read_parquet('{path}/**/*.parquet')"
    else:
        source = f"read_parquet('{path}')"
    result = connection.execute(SUMS.format(source=source))
    print(json.dumps(dict(zip([column[0] for column in result.description], result.fetchone()))))


if __name__ == "__main__":
    if sys.argv[1] == "check":
        check(sys.argv[2], sys.argv[3])
    else:
        PEERS[sys.argv[1]](sys.argv[2], sys.argv[3])
