"""Proposes a configuration from a look at the data: reads objects or an export, counts, and decides."""
