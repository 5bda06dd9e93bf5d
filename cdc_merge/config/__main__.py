"""Writes the JSON Schema: `python -m cdc_merge.config > cdc-merge.schema.json`."""

import json
import sys

from cdc_merge.config import json_schema

sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
