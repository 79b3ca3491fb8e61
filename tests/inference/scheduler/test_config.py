"""The pools' file: what is wrong is told with its line and its mend."""

from pathlib import Path

import pytest

from inference.scheduler.__main__ import main
from inference.scheduler.config import Price, load
from inference.scheduler.errors import ConfigurationError

SOUND = """pools:
  - name: gpu
    models: [writer, Qwen/Qwen3-8B]
    fallback: hosted
    servers:
      - {name: vllm-0, url: "http://vllm-0:8000/v1", kind: vllm, slots: 64}
      - {name: vllm-1, url: "http://vllm-1:8000/v1", kind: vllm, slots: 64}
  - name: hosted
    models: [hosted-model]
    servers:
      - name: vendor
        url: https://api.vendor.example/v1
        key_env: VENDOR_KEY
        price: {input: 0.5, output: 2, currency: EUR}
"""


def _loaded(tmp_path: Path, text: str):
    path = tmp_path / "pools.yaml"
    path.write_text(text)
    return load(path)


def test_a_sound_file_says_what_there_is(tmp_path: Path) -> None:
    pools = _loaded(tmp_path, SOUND)
    assert [server.name for pool in pools.pools for server in pool.servers] == ["vllm-0", "vllm-1", "vendor"]
    assert (pools.breaker.failures, pools.breaker.reset_s) == (5, 30)
    vendor = pools.pools[1].servers[0]
    assert vendor.key({"VENDOR_KEY": "secret"}) == "secret" and "secret" not in repr(pools)
    assert Price(input=0.5, output=2, currency="EUR").of(2_000_000, 500_000) == 2.0


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("slots: 64}\n      - {name: vllm-1", "slots: 0}\n      - {name: vllm-1", 6, "greater than or equal to 1"),
        ("kind: vllm, slots: 64}\n  -", "kind: tgi, slots: 64}\n  -", 7, "Input should be 'vllm', 'llama.cpp' or 'openai'"),
        ("fallback: hosted", "fallback: nowhere", 1, "falls back to 'nowhere', which is no pool; there are gpu, hosted"),
        ("models: [hosted-model]", "models: [hosted-model]\n    fallback: gpu", 1, "go round in a circle"),
        ("models: [hosted-model]", "models: [writer]", 1, "the model 'writer' is named twice"),
        ("name: vllm-1", "name: vllm-0", 1, "the server 'vllm-0' is named twice"),
        ("models: [hosted-model]", "models: []", 9, "at least 1 item"),
        ("url: https://api.vendor.example/v1", "url: https://me:secret@vendor/v1", 12, "should match pattern"),
        ("key_env: VENDOR_KEY", "key: sk-1234", 13, "there is no such key; known: name, url, kind, model"),
        ("currency: EUR", "currency: euro", 14, "should match pattern"),
        ("pools:\n", "pools: [\n", 2, "is no YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, old: str, new: str, line: int, told: str) -> None:
    assert old in SOUND
    with pytest.raises(ConfigurationError) as caught:
        _loaded(tmp_path, SOUND.replace(old, new, 1))
    assert told in str(caught.value)
    assert f"pools.yaml:{line}:" in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n", "pools: 5\n", "\0"])
def test_what_is_no_pools_file_at_all_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"pools\.yaml"):
        _loaded(tmp_path, text)


def test_the_process_says_so_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml: No such file" in capsys.readouterr().err
