"""The native program (native/ in the repository), where it was built; without it DuckDB does the same, slower."""

from cdc_merge.native.library import SWITCH, NativeFailed, is_there

__all__ = ["SWITCH", "NativeFailed", "is_there"]
