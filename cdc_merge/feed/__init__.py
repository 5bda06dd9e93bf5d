"""From stored objects to typed change rows: list, fetch, frame, decode."""
