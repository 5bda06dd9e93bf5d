"""What is measured, each in a process of its own: python -m bench.probes NAME REQUEST ANSWER (JSON files)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from bench.child import Step, most_resident
from cdc_merge.errors import CdcMergeError

# Only the module of a probe is imported for it: what others need would be in its memory too.
MODULES = {
    "bench.loading": ("merge_loads", "merge_backlog", "merge_tiny", "merge_shape", "latency"),
    "bench.baselines": ("bare_read", "bare_gets", "handwritten_upsert"),
    "bench.reconciling": (
        "export_digest",
        "reconcile_export",
        "drift_away",
        "reconcile_drifted",
        "handwritten_compare",
    ),
    "bench.growing": ("fill_lineitems", "merge_batches", "merge_batches_by_hand"),
    "bench.scaling": ("fill_scale", "merge_staged", "merge_staged_by_hand"),
    "bench.by_sql": ("decode_by_sql", "digest_by_sql"),
    "bench.sql_alone": ("upsert_by_sql",),
    "bench.decoding": ("decode_alone",),
    "bench.polling": ("poll_merged", "list_all"),
    "bench.metering": ("merge_metered",),
    "bench.peers.roster": ("merge_by_peer",),
}


def probe_of(name: str) -> Callable[..., dict[str, Step]]:
    """The probe of this name."""
    (module,) = (module for module, names in MODULES.items() if name in names)
    probe: Callable[..., dict[str, Step]] = import_module(module).PROBES[name]
    return probe


def main() -> None:
    """The command."""
    name, request, answer = sys.argv[1:]
    try:
        steps = probe_of(name)(**json.loads(Path(request).read_text()))
    except CdcMergeError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    # What a probe looks at after its steps is not what is measured.
    peak = max(step.peak for step in steps.values()) or most_resident()
    document = {"steps": {label: asdict(step) for label, step in steps.items()}, "peak": peak}
    Path(answer).write_text(json.dumps(document))


if __name__ == "__main__":
    main()
