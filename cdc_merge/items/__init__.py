"""One item of a source: its key, the records that hold it, what the warehouse keeps of it, and why that is so."""
