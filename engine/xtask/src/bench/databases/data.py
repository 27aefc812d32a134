"""The tables, the same for the same scale: data.py load SCALE, and what changes in them: data.py change SYSTEM SIZE.

Each is written once as Parquet, which results in Parquet are compared with, and loaded from there into both servers' database `source`.
"""
import json
import os
import shutil
import sys

import database
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

JUNE = 1_717_200_000_000_000  # 2024-06-01 00:00:00 UTC in microseconds
DAY = 86_400_000_000
SIZES = {"50k": (40_000, 10_000), "500k": (400_000, 100_000)}  # rows updated, rows added
TEXTS = {"symbol": 20, "order_type": 10, "name": 64, "kode": 24, "note": 200}


def decimals(unscaled, precision, scale):
    words = np.empty((len(unscaled), 2), dtype=np.int64)
    words[:, 0] = unscaled
    words[:, 1] = words[:, 0] >> 63
    return pa.Array.from_buffers(pa.decimal128(precision, scale), len(words), [None, pa.py_buffer(words)])


def choose(texts, indexes):
    return pa.DictionaryArray.from_arrays(pa.array(indexes.astype(np.int32)), pa.array(texts)).cast(pa.string())


def moments(microseconds):
    return pa.array(microseconds, pa.timestamp("us"))


def trades(rows):
    """12 columns of an exchange: prices walk, quantities are mostly small, ids have small holes."""
    random = np.random.default_rng(1)
    start_price = np.array([67_000.0, 3_500.0, 165.0])
    symbol = random.choice(3, size=rows, p=[0.5, 0.32, 0.18])
    at = np.sort(random.integers(0, 18 * 3_600_000, rows)) * 1_000 + JUNE
    walk = np.empty(rows)
    for number in range(3):
        chosen = symbol == number
        walk[chosen] = start_price[number] * np.exp(np.cumsum(random.normal(0, 2e-5, chosen.sum())))
    price = np.round(walk * 100).astype(np.int64) * 1_000_000
    quantity = np.maximum(1, np.round(random.exponential(0.05, rows) * start_price[0] / start_price[symbol] * 1e5)).astype(np.int64) * 1_000
    buyer = 10_000_000_000 + np.cumsum(random.integers(1, 9, rows))
    return pa.table({
        "trade_id": 3_600_000_000 + np.cumsum(random.integers(1, 3, rows)),
        "symbol": choose(["BTCUSDT", "ETHUSDT", "SOLUSDT"], symbol),
        "price": decimals(price, 18, 8),
        "quantity": decimals(quantity, 18, 8),
        "quote_qty": decimals(np.round(price / 1e8 * quantity).astype(np.int64), 28, 8),
        "is_buyer_maker": random.integers(0, 2, rows).astype(bool),
        "exchange_timestamp": moments(at),
        "ingested_at": moments(at + random.integers(2_000, 900_000, rows)),
        "sequence_number": np.arange(rows, dtype=np.int64) + 7_000_000,
        "buyer_order_id": buyer,
        "seller_order_id": buyer - random.integers(1, 50_000, rows),
        "order_type": choose(["MARKET", "LIMIT", "IOC"], random.integers(0, 3, rows)),
    })


def orders_sparse(rows):
    """Ids up to 71,714,083 in clusters with large gaps between them."""
    random = np.random.default_rng(2)
    greatest, clusters = 71_714_083, 400
    steps = random.integers(1, 4, rows)
    first = np.sort(random.choice(np.arange(1, rows), clusters - 1, replace=False))
    gaps = np.zeros(rows, dtype=np.int64)
    gaps[first] = random.dirichlet(np.full(clusters - 1, 0.3)) * (greatest - int(steps.sum()) - clusters)
    ids = np.cumsum(steps + gaps)
    ids[-1] = greatest
    cents, quantity = random.integers(1_000, 5_000_000, rows), random.integers(1, 20, rows)
    created = JUNE - 40_000_000_000_000 + np.sort(random.integers(0, 40_000_000_000, rows)) * 1_000
    return pa.table({
        "id": ids,
        "order_id": ids // 3,
        "product_id": random.integers(1, 90_000, rows),
        "sku": pa.array([f"SKU-{number:07d}" for number in random.integers(0, 400_000, rows)]),
        "qty": quantity.astype(np.int32),
        "unit_price": decimals(cents, 18, 2),
        "discount": decimals(cents // 20 * (random.random(rows) < 0.3), 18, 2),
        "total": decimals(cents * quantity, 18, 2),
        "status": choose(["NEW", "PAID", "SHIPPED", "CANCELLED"], random.integers(0, 4, rows)),
        "note": pa.array(np.where(random.random(rows) < 0.4, None, "gift wrap please"), pa.string()),
        "created_at": moments(created),
        "updated_at": moments(created + random.integers(0, 10**9, rows)),
    })


def sales_wide(rows):
    """184 columns: decimals, counts, texts of few values, dates and times, a fifth of them NULL."""
    random = np.random.default_rng(3)
    words = [a + b for a in ("alpha", "bravo", "cabang ", "toko ", "retail-", "north ", "x") for b in ("one", "dua", "tiga", "Jakarta", "Bandung", "2024", "_z")]
    day = np.sort(random.integers(0, 365, rows)) + 19_509

    def dates(days):
        return pa.array(days.astype(np.int32)).cast(pa.date32())

    def some(values, share):
        if share == 0:
            return values
        values = values if isinstance(values, pa.Array) else pa.array(values)
        return pyarrow.compute.if_else(pa.array(random.random(rows) >= share), values, pa.scalar(None, values.type))

    table = {"sale_id": np.arange(1, rows + 1, dtype=np.int64), "sale_date": dates(day)}
    for i in range(64):
        table[f"amt_{i:02d}"] = some(decimals(random.integers(-10_000, 10 ** (5 + i % 6), rows), 18, 2 if i % 2 else 4), (0, 0.1, 0.5)[i % 3])
    for i in range(36):
        table[f"cnt_{i:02d}"] = some(random.integers(0, 10 ** (1 + i % 9), rows).astype(np.int32), (0, 0.2)[i % 2])
    for i in range(12):
        table[f"big_{i:02d}"] = some(random.integers(0, 10**15, rows), (0, 0.3)[i % 2])
    for i in range(44):
        table[f"txt_{i:02d}"] = some(choose(words, random.integers(0, 1 + i % len(words), rows)), (0, 0.15, 0.6)[i % 3])
    for i in range(12):
        table[f"dt_{i:02d}"] = some(dates(day + random.integers(-5, 60, rows)), (0, 0.2)[i % 2])
    for i in range(14):
        table[f"ts_{i:02d}"] = some(moments(day * DAY + random.integers(0, 86_400, rows) * 1_000_000), (0, 0.25)[i % 2])
    return pa.table(table)


def transaksi(rows, size=None):
    """8 columns; with a size only what changed a day later: some rows again, and new ones."""
    updated, added = (0, 0) if size is None else (max(1, count * rows // 2_000_000) for count in SIZES[size])
    random = np.random.default_rng(4 + updated)
    old = np.arange(1, rows + 1) if size is None else np.sort(random.choice(rows, updated, replace=False)) + 1
    ids = np.concatenate((old, np.arange(rows + 1, rows + 1 + added)))
    count = len(ids)
    return pa.table({
        "id": ids,
        "kode": pa.array([f"TRX-{number:09d}" for number in ids]),
        "name": choose([f"Pelanggan {number} {'baru' if size else 'lama'}" for number in range(997)], ids % 997),
        "amount": decimals(random.integers(100, 10**9, count), 18, 2),
        "status": choose(["OPEN", "PAID", "VOID"], random.integers(0, 3, count)),
        "cabang_id": random.integers(1, 500, count).astype(np.int32),
        "created_at": moments(JUNE - ids * 1_000_000),
        "updated_at": moments(JUNE + (DAY if size else 0) + random.integers(0, 3_600_000_000, count)),
    })


def declared(system, field):
    kind, mysql = field.type, system == "mysql"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_int64(kind):
        return "bigint unsigned" if mysql and field.name == "trade_id" else "bigint"
    if pa.types.is_int32(kind):
        return "int"
    if pa.types.is_boolean(kind):
        return "tinyint(1)" if mysql else "boolean"
    if pa.types.is_date(kind):
        return "date"
    if pa.types.is_timestamp(kind):
        return f"{'datetime' if mysql else 'timestamp'}({3 if field.name == 'exchange_timestamp' else 6})"
    return f"varchar({TEXTS.get(field.name, 32)})"


def create(system, name, schema):
    key = schema.names[0]
    fields = ", ".join(f"{field.name} {declared(system, field)}{' NOT NULL' if field.name == key else ''}" for field in schema)
    return f"DROP TABLE IF EXISTS {name}; CREATE TABLE {name} ({fields}, PRIMARY KEY ({key}))"


def load_one(name, table):
    path, text = f"{database.DATA}/{name}.parquet", f"{database.DATA}/{name}.tsv"
    pyarrow.parquet.write_table(table, path, row_group_size=131_072)
    fields = ", ".join(f"{field.name}::INT" if pa.types.is_boolean(field.type) else field.name for field in table.schema)
    duckdb.execute(f"COPY (SELECT {fields} FROM '{path}') TO '{text}' (FORMAT csv, DELIMITER '\t', HEADER false, NULLSTR '\\N')")
    for system in ("postgres", "mysql"):
        database.ask(system, create(system, name, table.schema))
    database.ask("postgres", f"\\copy {name} FROM '{text}'")
    database.ask("mysql", f"SET SESSION sql_log_bin = 0, unique_checks = 0; LOAD DATA LOCAL INFILE '{text}' INTO TABLE {name} CHARACTER SET utf8mb4")
    settle(name)
    os.remove(text)


def settle(name, systems=("postgres", "mysql")):
    for system in systems:
        database.ask(system, f"VACUUM (FREEZE, ANALYZE) {name}; CHECKPOINT" if system == "postgres" else f"ANALYZE TABLE {name}")


def load(scale):
    stamp = {"scale": scale, "generator": os.path.getsize(__file__)}
    noted = f"{database.DATA}/complete.json"
    if os.path.exists(noted) and json.load(open(noted)) == stamp:
        return
    shutil.rmtree(database.DATA, ignore_errors=True)
    os.makedirs(database.DATA)
    base = int(2_000_000 * scale)
    made = {
        "trades": lambda: trades(int(3_868_696 * scale)),
        "sales_wide": lambda: sales_wide(int(400_000 * scale)),
        "orders_sparse": lambda: orders_sparse(int(300_000 * scale)),
        "transaksi": lambda: transaksi(base),
        "changed_50k": lambda: transaksi(base, "50k"),
        "changed_500k": lambda: transaksi(base, "500k"),
    }
    for name, make in made.items():
        load_one(name, make())
    with open(noted, "w") as file:
        json.dump(stamp, file)


def begin(system, size):
    """A copy of `transaksi` for Karat to read, as it was before the changes."""
    name = f"transaksi_{size}"
    if system == "mysql":
        database.ask(system, f"DROP TABLE IF EXISTS {name}; CREATE TABLE {name} LIKE transaksi; ALTER TABLE {name} ADD KEY (updated_at, id); SET SESSION sql_log_bin = 0; INSERT INTO {name} SELECT * FROM transaksi")
    else:
        database.ask(system, f"DROP TABLE IF EXISTS {name}; CREATE TABLE {name} (LIKE transaksi INCLUDING ALL); INSERT INTO {name} SELECT * FROM transaksi; CREATE INDEX ON {name} (updated_at, id)")
    settle(name, [system])


def change(system, size):
    """The changes arrive at the source."""
    names = [name for name, _ in database.columns(system, "transaksi")]
    database.ask(system, database.upsert(system, f"transaksi_{size}", f"changed_{size}", names))
    settle(f"transaksi_{size}", [system])


if __name__ == "__main__":
    if sys.argv[1] == "load":
        load(float(sys.argv[2]))
    else:
        {"begin": begin, "change": change}[sys.argv[1]](*sys.argv[2:])
