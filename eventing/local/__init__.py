"""The platform on one machine, for development: it plays only what Knative plays on a cluster, on loopback.

Forbidden here: anything an agent or a cluster would need; agents never import this package.
"""
