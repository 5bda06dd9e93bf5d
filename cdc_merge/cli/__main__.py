"""`python -m cdc_merge.cli`."""

from cdc_merge.cli import main

main()
