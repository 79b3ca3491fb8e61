"""The Knative and Kafka resources of a workflow: `python -m eventing.manifests [--check]` writes them as YAML.

Forbidden here: anything but a pure function of the workflow file.
"""

from eventing.manifests.render import files

__all__ = ["files"]
