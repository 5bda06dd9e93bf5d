"""Compares every target of a source with an export as of its time, and repairs what had drifted."""
