"""Validates a YAML file against a JSON Schema as an editor does: validate_yaml.py SCHEMA FILE. Prints the faults as a JSON list."""
import json
import sys

import yaml

from validate import faults

if __name__ == "__main__":
    with open(sys.argv[2]) as file:
        print(json.dumps(faults(sys.argv[1], yaml.safe_load(file))))
