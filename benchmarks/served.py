"""What functions-framework serves for an agent of the chain."""

import os

from benchmarks import chain, split
from eventing.function import serve
from eventing.runtime import Runtime
from inference.client import from_environment

if "BENCH_NOTES" in os.environ:
    split.in_function(os.environ["BENCH_NOTES"])
function = serve(chain.AGENTS[os.environ["TORPOR_AGENT"]], Runtime(os.environ), from_environment(os.environ))
