"""Computes the Gold tables of `flights` from the raw files, without SQL and without Karat, and compares: flights.py DATA WAREHOUSE."""
import collections
import csv
import datetime
import gzip
import json
import math
import pathlib
import sqlite3
import sys
import zoneinfo

from warehouse import connect, register

UTC = datetime.timezone.utc
NEW_YORK = zoneinfo.ZoneInfo("America/New_York")


def rows_of(path):
    opened = gzip.open(path, "rt", newline="") if path.suffix == ".gz" else open(path, newline="")
    with opened as lines:
        return [{name: None if text == "NA" else text for name, text in row.items()} for row in csv.DictReader(lines)]


def mean(values):
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None


def load(data):
    airports = {row["faa"]: row for name in ("airports.csv", "airports_caribbean.csv") for row in rows_of(data / name)}
    airlines = {row["carrier"]: row["name"] for row in rows_of(data / "airlines.csv")}
    planes = {row["tailnum"]: row for row in rows_of(data / "planes.csv")}
    weather = {(row["origin"], row["time_hour"]): row for row in rows_of(data / "weather.csv.gz")}
    database = sqlite3.connect(data / "flights.db")
    database.row_factory = sqlite3.Row
    return airports, airlines, planes, weather, [dict(row) for row in database.execute("SELECT * FROM flights")]


def instants(flight, airports):
    """Scheduled and real times as instants, found with the time zone database alone."""
    clock = flight["sched_dep_time"]
    departure = datetime.datetime(flight["year"], flight["month"], flight["day"], clock // 100, clock % 100, tzinfo=NEW_YORK).astimezone(UTC)
    zone = zoneinfo.ZoneInfo(airports[flight["dest"]]["tzone"])
    there = departure.astimezone(zone).replace(tzinfo=None)
    clock = flight["sched_arr_time"]
    arrival = datetime.datetime.combine(there.date(), datetime.time()) + datetime.timedelta(hours=clock // 100, minutes=clock % 100)
    if arrival <= there:
        arrival += datetime.timedelta(days=1)
    return departure, arrival.replace(tzinfo=zone).astimezone(UTC)


def later(instant, minutes):
    return None if minutes is None else instant + datetime.timedelta(minutes=minutes)


def status(flight):
    if flight["dep_time"] is None:
        return "cancelled"
    return "diverted" if flight["arr_delay"] is None else "arrived"


def group(flights, key):
    groups = collections.defaultdict(list)
    for flight in flights:
        groups[key(flight)].append(flight)
    return groups


def carrier_months(flights, airlines):
    for (carrier, month), members in group(flights, lambda f: (f["carrier"], f["month"])).items():
        on_time = sum(f["arr_delay"] is not None and f["arr_delay"] < 15 for f in members)
        delays = [f["arr_delay"] for f in members if f["arr_delay"] is not None]
        yield {
            "carrier": carrier,
            "airline": airlines[carrier],
            "month": datetime.date(2013, month, 1),
            "flights": len(members),
            "cancelled": sum(status(f) == "cancelled" for f in members),
            "diverted": sum(status(f) == "diverted" for f in members),
            "on_time": on_time,
            "on_time_percent": round(100 * on_time / len(members), 2),
            "mean_departure_delay_minutes": mean([f["dep_delay"] for f in members]),
            "mean_arrival_delay_minutes": mean(delays),
            "worst_arrival_delay_minutes": max(delays, default=None),
        }


def weather_name(row):
    if row is None:
        return "unknown"
    visibility = round(float(row["visib"]) * 1.609344, 1)
    rain = round(float(row["precip"]) * 25.4, 1)
    wind = None if row["wind_speed"] is None else round(float(row["wind_speed"]) * 1.609344, 1)
    if visibility < 3:
        return "poor visibility"
    if rain >= 1:
        return "heavy precipitation"
    if rain > 0:
        return "light precipitation"
    return "strong wind" if wind is not None and wind >= 30 else "fair"


def delay_by_weather(flights, weather):
    def key(flight):
        hour = datetime.datetime.fromtimestamp(flight["time_hour"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return flight["origin"], weather_name(weather.get((flight["origin"], hour)))

    for (origin, name), members in group(flights, key).items():
        yield {
            "origin": origin,
            "weather": name,
            "flights": len(members),
            "cancelled": sum(status(f) == "cancelled" for f in members),
            "over_an_hour_late": sum(f["dep_delay"] is not None and f["dep_delay"] > 60 for f in members),
            "mean_departure_delay_minutes": mean([f["dep_delay"] for f in members]),
        }


def routes(flights, airports):
    for (origin, destination), members in group(flights, lambda f: (f["origin"], f["dest"])).items():
        yield {
            "origin": origin,
            "destination": destination,
            "destination_name": airports[destination]["name"],
            "flights": len(members),
            "carriers": len({f["carrier"] for f in members}),
            "distance_km": float(round(max(f["distance"] for f in members) * 1.609344)),
            "mean_air_minutes": mean([f["air_time"] for f in members]),
            "fastest_air_minutes": min((f["air_time"] for f in members if f["air_time"] is not None), default=None),
            "mean_arrival_delay_minutes": mean([f["arr_delay"] for f in members]),
        }


def manufacturer(name):
    for large in ("AIRBUS", "MCDONNELL DOUGLAS"):
        if name.startswith(large):
            return large
    return name


def fleet(flights, planes):
    flown = [f for f in flights if f["tailnum"] in planes and status(f) != "cancelled"]
    key = lambda f: (f["carrier"], manufacturer(planes[f["tailnum"]]["manufacturer"]), planes[f["tailnum"]]["model"])
    for (carrier, maker, model), members in group(flown, key).items():
        built = [int(planes[f["tailnum"]]["year"]) for f in members if planes[f["tailnum"]]["year"] is not None]
        air = [f["air_time"] for f in members if f["air_time"] is not None]
        yield {
            "carrier": carrier,
            "manufacturer": maker,
            "model": model,
            "aircraft": len({f["tailnum"] for f in members}),
            "flights": len(members),
            "seats": max(int(planes[f["tailnum"]]["seats"]) for f in members),
            "air_minutes": sum(air) if air else None,
            "oldest_built_in": min(built, default=None),
            "mean_age_years": mean([2013 - year for year in built]),
        }


def silver_flights(flights, airlines, airports):
    for f in flights:
        departure, arrival = instants(f, airports)
        yield {
            "flight_date": datetime.date(f["year"], f["month"], f["day"]),
            "carrier": f["carrier"],
            "flight_number": f["flight"],
            "origin": f["origin"],
            "airline": airlines[f["carrier"]],
            "destination": f["dest"],
            "status": status(f),
            "scheduled_departure": departure,
            "departed_at": later(departure, f["dep_delay"]),
            "scheduled_arrival": arrival,
            "arrived_at": later(arrival, f["arr_delay"]),
            "scheduled_minutes": int((arrival - departure).total_seconds()) // 60,
        }


def same(expected, found):
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return math.isclose(expected, found, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(expected, datetime.datetime) and isinstance(found, datetime.datetime):
        return expected == (found if found.tzinfo else found.replace(tzinfo=UTC))
    return expected == found


def compare(connection, table, key, expected):
    expected = list(expected)
    columns = list(expected[0])
    found = {}
    for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall():
        row = dict(zip(columns, row))
        found[tuple(row[name] for name in key)] = row
    faults = [] if len(found) == len(expected) else [f"{table}: {len(found)} rows instead of {len(expected)}"]
    for row in expected:
        place = tuple(row[name] for name in key)
        other = found.get(place)
        if other is None:
            faults.append(f"{table}: no row for {place}")
            continue
        faults += [f"{table} {place}: {name} is {other[name]!r} instead of {row[name]!r}" for name in columns if not same(row[name], other[name])]
    return [str(fault) for fault in faults[:10]]


def main(data, warehouse):
    airports, airlines, planes, weather, flights = load(pathlib.Path(data))
    connection = connect()
    register(connection, warehouse)
    faults = compare(connection, "silver.flights", ["flight_date", "carrier", "flight_number", "origin"], silver_flights(flights, airlines, airports))
    faults += compare(connection, "gold.carrier_months", ["carrier", "month"], carrier_months(flights, airlines))
    faults += compare(connection, "gold.delay_by_weather", ["origin", "weather"], delay_by_weather(flights, weather))
    faults += compare(connection, "gold.routes", ["origin", "destination"], routes(flights, airports))
    faults += compare(connection, "gold.fleet", ["carrier", "manufacturer", "model"], fleet(flights, planes))
    return faults


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2])))
