"""`make bench`: what a hop, a wake and a workflow cost, each beside the bare parts that it is made of, in the same run.

Forbidden here: anything that the product needs; nothing imports this package.
"""
