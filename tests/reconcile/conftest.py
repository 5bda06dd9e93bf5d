"""What all tests of reconciles share."""

from tests.support.reconciling import export

__all__ = ["export"]
