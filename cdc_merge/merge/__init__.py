"""The statements that bring a staged batch into the targets, in one transaction."""
