"""How many calls fit on a GPU at once: the arithmetic of docs/serving.md."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30
SPARE = 2 * GIB  # of each GPU: activations, CUDA graphs and the context; an assumption, not measured


@dataclass(frozen=True)
class Model:
    """A dense transformer with grouped-query attention; the numbers are in its config.json."""

    parameters: float
    layers: int
    kv_heads: int
    head_dim: int


@dataclass(frozen=True)
class Gpus:
    """The GPUs of one server, each with `memory` bytes, of which vLLM may take the share `utilization`."""

    memory: float
    count: int = 1
    utilization: float = 0.9


def kv_bytes_per_token(model: Model, kv_bytes: int = 2) -> int:
    """What one token holds of the KV cache: a key and a value for each layer and KV head (2 bytes in bf16, 1 in fp8)."""
    return 2 * model.layers * model.kv_heads * model.head_dim * kv_bytes


def tokens_in(cache: float, model: Model, kv_bytes: int = 2, block: int = 16) -> int:
    """Tokens that a cache of so many bytes holds, in whole blocks."""
    return int(cache // (kv_bytes_per_token(model, kv_bytes) * block)) * block


def cache_on(gpus: Gpus, model: Model, weight_bytes: float = 2) -> float:
    """Bytes left for the KV cache beside the weights (2 bytes a parameter in bf16, 1 in fp8); negative: it does not fit."""
    return gpus.count * (gpus.memory * gpus.utilization - SPARE) - model.parameters * weight_bytes


def calls_on(gpus: Gpus, model: Model, tokens: int, weight_bytes: float = 2, kv_bytes: int = 2) -> int:
    """Calls of so many tokens (prompt and answer) that run at once without one having to make room for another."""
    return max(0, tokens_in(cache_on(gpus, model, weight_bytes), model, kv_bytes) // tokens)
