"""Validates a JSON file against a JSON Schema: validate.py SCHEMA FILE. Prints the faults as a JSON list."""
import json
import sys

import jsonschema


def faults(schema_path, value):
    with open(schema_path) as file:
        schema = json.load(file)
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    return [f"{error.json_path}: {error.message}"[:300] for error in validator(schema).iter_errors(value)]


if __name__ == "__main__":
    with open(sys.argv[2]) as file:
        print(json.dumps(faults(sys.argv[1], json.load(file))))
