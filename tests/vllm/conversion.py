"""From a GGUF file to a folder that vLLM serves: `python conversion.py MODEL.gguf FOLDER`, in vLLM's environment.

For models of the Llama family with a byte-level BPE tokenizer, such as SmolLM2. The weights are dequantized to bfloat16.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import gguf
import numpy
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTSIDE = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
CONTROL = 3  # the type of tokens that are no text: <|im_start|> and their like


def convert(file: Path, folder: Path) -> None:
    """Write config, tokenizer and weights; the folder is there either whole or not at all."""
    print(f"converting {file.name} for vLLM", file=sys.stderr)
    reader = gguf.GGUFReader(file)
    told = {name: field.contents() for name, field in reader.fields.items()}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as temporary:
        work = Path(temporary) / folder.name
        work.mkdir()
        _write(work / "config.json", config(told))
        _write(work / "tokenizer_config.json", tokenizer_config(told))
        tokenizer(told).save(str(work / "tokenizer.json"))
        save_file(weights(reader, told), work / "model.safetensors", metadata={"format": "pt"})
        os.replace(work, folder)


def config(told: dict[str, Any]) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": True,  # the file has no output matrix of its own
        "vocab_size": told["llama.vocab_size"],
        "hidden_size": told["llama.embedding_length"],
        "intermediate_size": told["llama.feed_forward_length"],
        "num_hidden_layers": told["llama.block_count"],
        "num_attention_heads": told["llama.attention.head_count"],
        "num_key_value_heads": told["llama.attention.head_count_kv"],
        "head_dim": told["llama.rope.dimension_count"],
        "rms_norm_eps": told["llama.attention.layer_norm_rms_epsilon"],
        "rope_theta": told["llama.rope.freq_base"],
        "max_position_embeddings": told["llama.context_length"],
        "bos_token_id": told["tokenizer.ggml.bos_token_id"],
        "eos_token_id": told["tokenizer.ggml.eos_token_id"],
    }


def tokenizer_config(told: dict[str, Any]) -> dict[str, Any]:
    tokens = told["tokenizer.ggml.tokens"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": told["tokenizer.chat_template"],
        "model_max_length": told["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        **{f"{name}_token": tokens[told[f"tokenizer.ggml.{name}_token_id"]] for name in ("bos", "eos")},
    }


def tokenizer(told: dict[str, Any]) -> Tokenizer:
    tokens, kinds = told["tokenizer.ggml.tokens"], told["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in told["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    digits, byte_level = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    made.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    return made


def weights(reader: gguf.GGUFReader, told: dict[str, Any]) -> dict[str, torch.Tensor]:
    heads = {"attn_q": told["llama.attention.head_count"], "attn_k": told["llama.attention.head_count_kv"]}
    found = {}
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        name = OUTSIDE.get(tensor.name)
        if name is None:
            _, layer, part, kind = tensor.name.split(".")
            name = f"model.layers.{layer}.{LAYER[part]}.{kind}"
            values = halves(values, heads[part]) if part in heads else values
        found[name] = torch.from_numpy(numpy.array(values)).to(torch.bfloat16)
    return found


def halves(values: numpy.ndarray, heads: int) -> numpy.ndarray:
    """Each head's rows as rotary embeddings of Hugging Face take them: GGUF has the pairs side by side."""
    rows, columns = values.shape
    return values.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2))


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
