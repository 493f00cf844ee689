"""TODO."""
from typing import Any
def robustness(m: Any) -> Any:
    from pellucid.errors import InvalidInput
    raise InvalidInput("no")
