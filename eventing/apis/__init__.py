"""The interfaces as documents: OpenAPI of the gateway, AsyncAPI of the topics, the picture of a workflow.

`python -m eventing.apis [--check]` writes them. `routes` is what the gateway itself routes by, so
that it cannot say one thing and do another.
Forbidden here: anything but pure functions of the contracts, the routes and the workflow file.
"""

from pathlib import Path

OPENAPI = Path(__file__).parent / "openapi.json"  # committed, and served by the gateway as it is

__all__ = ["OPENAPI"]
