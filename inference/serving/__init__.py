"""vLLM on GPUs, as production wants it: `vllm.yaml` is the manifest, `sizing` the arithmetic behind its numbers.

Forbidden here: anything that runs or connects; what is here is read by people, Terraform and the operator.
"""
