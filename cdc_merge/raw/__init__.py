"""Batches whose objects the warehouse loads and decodes itself; what SQL is not sure of goes to the workbench."""
