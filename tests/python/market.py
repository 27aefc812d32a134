"""Computes Silver and the six bar tables of `market` from the raw database, without SQL joins and without Karat: market.py DATABASE WAREHOUSE."""
import collections
import datetime
import decimal
import json
import sqlite3
import sys

from warehouse import connect, register

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
LENGTHS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14400, "1d": 86400}


def trades(path):
    database = sqlite3.connect(path)
    for trade_id, symbol, price, quantity, maker, millis in database.execute("SELECT * FROM trades_binance"):
        yield "binance", symbol.replace("USDT", "/USD"), trade_id, decimal.Decimal(price), decimal.Decimal(quantity), "sell" if maker else "buy", millis * 1000
    seen = set()
    for _, pair, trade_id, price, volume, side, micros in database.execute("SELECT * FROM trades_kraken ORDER BY message_id"):
        symbol = pair.replace("XBT/", "BTC/").replace("XDG/", "DOGE/")
        if (symbol, trade_id) in seen:
            continue
        seen.add((symbol, trade_id))
        yield "kraken", symbol, trade_id, decimal.Decimal(price), decimal.Decimal(volume), "sell" if side == "s" else "buy", micros


def bars(rows, seconds):
    grouped = collections.defaultdict(list)
    for exchange, symbol, trade_id, price, quantity, _, micros in rows:
        grouped[symbol, micros // (seconds * 1_000_000) * seconds].append((micros, exchange, trade_id, price, quantity))
    for (symbol, start), members in grouped.items():
        members.sort(key=lambda trade: trade[:3])
        prices = [trade[3] for trade in members]
        yield (symbol, EPOCH + datetime.timedelta(seconds=start), prices[0], max(prices), min(prices), prices[-1], sum(trade[4] for trade in members), len(members))


def utc(value):
    if isinstance(value, datetime.datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return value


def differences(connection, table, columns, expected):
    found = collections.Counter(tuple(utc(value) for value in row) for row in connection.execute(f"SELECT {columns} FROM {table}").fetchall())
    expected = collections.Counter(expected)
    faults = [f"{table}: {row} is missing" for row in list((expected - found).elements())[:3]]
    return faults + [f"{table}: {row} is too much" for row in list((found - expected).elements())[:3]]


def main(path, warehouse):
    connection = connect()
    register(connection, warehouse)
    rows = list(trades(path))
    silver = [row[:6] + (EPOCH + datetime.timedelta(microseconds=row[6]),) for row in rows]
    faults = differences(connection, "silver.trades", "exchange, symbol, trade_id, price, quantity, side, traded_at", silver)
    for name, seconds in LENGTHS.items():
        faults += differences(connection, f"gold.bars_{name}", "symbol, bar_start, open, high, low, close, volume, trades", bars(rows, seconds))
    return faults


if __name__ == "__main__":
    print(json.dumps([str(fault) for fault in main(sys.argv[1], sys.argv[2])]))
