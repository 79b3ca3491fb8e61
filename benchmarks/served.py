"""What functions-framework serves for an agent of the chain; the same as functions/main.py does."""
# ruff: noqa: E402

import gc

gc.disable()

import os

from benchmarks import chain, split
from eventing.function import serve
from eventing.runtime import Runtime
from eventing.stalls import ALARM
from inference.client import from_environment

if "BENCH_NOTES" in os.environ:
    split.in_function(os.environ["BENCH_NOTES"])
ALARM.arm()
function = serve(chain.AGENTS[os.environ["TORPOR_AGENT"]], Runtime(os.environ), from_environment(os.environ))
gc.freeze()
gc.enable()
