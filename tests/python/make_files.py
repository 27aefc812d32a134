"""Writes an input file that is wrong in one way: make_files.py KIND PATH."""
import decimal
import gzip
import json
import sys

import pyarrow
import pyarrow.parquet

kind, path = sys.argv[1], sys.argv[2]
amounts = pyarrow.array([decimal.Decimal("1.50"), decimal.Decimal("2.50"), None], pyarrow.decimal128(10, 2))
if kind == "truncated-gzip":
    whole = gzip.compress(("id,amount,note\n" + "".join(f"{n},{n}.50,note {n}\n" for n in range(10_000))).encode())
    with open(path, "wb") as file:
        file.write(whole[: len(whole) // 2])
elif kind == "parquet":
    pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2, 3], "amount": amounts}), path)
elif kind == "other-parquet":
    pyarrow.parquet.write_table(pyarrow.table({"id": [4, 5], "amount": ["a lot", "little"]}), path)
else:
    sys.exit(f"no such kind: {kind}")
print(json.dumps(path))
