"""The conformance suite: whether a store does what constelite documents."""

from __future__ import annotations

from filestore.testing.primitives import PrimitiveContract
from filestore.testing.reads import QueryContract, ReadContract
from filestore.testing.writes import DeleteContract, PatchContract, PutContract


class StoreContract(
    PutContract, PatchContract, DeleteContract, ReadContract, QueryContract, PrimitiveContract
):
    """All that constelite documents about stores, for a store of yours.

    Derive a test class from it and give it a fixture ``store`` that makes an empty store, for each
    test a new one. What your store is known not to do goes into ``expected_failures``, by the name
    of the test; :data:`filestore.testing.MEMORY_STORE` is an example.
    """
