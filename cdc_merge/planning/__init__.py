"""What `cdc-merge plan` tells of each source, changing nothing."""
