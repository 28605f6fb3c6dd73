"""Adapters as the engine reads them: what they may be, who made them, and where one begins in a model string."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from zcurate.captioner.chat import ChatError
from zcurate.captioner.vlm.adapters import AdapterError, read_adapter, split_adapter
from zcurate.captioner.vlm.address import AddressError

from .lora_cases import loaded


def changed(adapter, tmp_path, config=None, tensors=None, record=False):
    folder = shutil.copytree(adapter.folder, tmp_path / "changed")
    if not record:
        (folder / "adapter.json").unlink()
    if config:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
    if tensors:
        path = folder / "adapter_model.safetensors"
        save_file(tensors(load_file(path)), path)
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"peft_type": "IA3"}}, "peft_type"),
        ({"config": {"use_dora": True}}, "use_dora"),
        ({"config": {"modules_to_save": ["lm_head"]}}, "modules_to_save"),
        ({"config": {"bias": "all"}}, "bias"),
        ({"config": {"init_lora_weights": "pissa"}}, "init_lora_weights"),
        ({"config": {"something_new": 3}}, "something_new"),
        ({"config": {"r": "8"}}, "r is"),
        ({"config": {"r": True}}, "r is"),
        ({"config": {"r": 0}}, "1 to 4096"),
        ({"config": {"r": 4}}, "another model"),
        ({"config": {"target_modules": ["no_such_layer"]}}, "does not fit"),
        ({"tensors": lambda t: dict(list(t.items())[1:])}, "another model"),
        ({"tensors": lambda t: {n: w * float("nan") for n, w in t.items()}}, "NaN"),
        ({"tensors": lambda t: {n: w * 2 for n, w in t.items()}, "record": True}, "changed after version 1"),
    ],
)  # fmt: skip
def test_adapters_that_are_not_used(trained, base, tmp_path, change, message):
    folder = changed(trained[2], tmp_path, **change)
    with pytest.raises(ChatError, match=message) as caught:
        loaded(f"{base}+{folder}")
    assert (caught.value.reason, caught.value.fatal) == ("missing_model", True)
    assert "changed" in str(caught.value)


def test_damaged_and_pickled_adapters(trained, base, tmp_path):
    folder = changed(trained[2], tmp_path)
    weights_file = folder / "adapter_model.safetensors"
    data = weights_file.read_bytes()
    weights_file.write_bytes(data[: len(data) // 2])
    with pytest.raises(ChatError, match="damaged"):
        loaded(f"{base}+{folder}")
    weights_file.unlink()
    torch.save({"x": torch.zeros(2)}, folder / "adapter_model.bin")
    with pytest.raises(ChatError, match="pickled weights are not read"):
        loaded(f"{base}+{folder}")
    for text in ("{", "[]", "nothing"):
        (folder / "adapter_config.json").write_text(text)
        weights_file.write_bytes(data)
        with pytest.raises(AdapterError, match=r"adapter_config\.json"):
            read_adapter(folder)
    with pytest.raises(ChatError, match="no adapter"):
        loaded(f"{base}+{tmp_path / 'nowhere'}")


def test_a_foreign_adapter_is_known_by_its_content(trained, tmp_path):
    folder = changed(trained[2], tmp_path, tensors=lambda t: {n: w * 2 for n, w in t.items()})
    found = read_adapter(folder)
    assert found.version is None
    assert found.identity == f"lora:sha256:{found.digest}"
    assert found.digest != trained[2].digest


def test_where_the_adapter_begins(tmp_path):
    assert split_adapter("org/model") == ("org/model", None)
    assert split_adapter("org/model+out/v1") == ("org/model", "out/v1")
    plus = tmp_path / "c++/model"
    plus.mkdir(parents=True)
    assert split_adapter(str(plus)) == (str(plus), None)
    assert split_adapter(f"{plus}+v1") == (str(plus), "v1")
    (tmp_path / "a+b").mkdir()
    assert split_adapter(f"{plus}+{tmp_path / 'a+b'}") == (str(plus), str(tmp_path / "a+b"))
    for wrong in ("+v1", "model+", "+"):
        with pytest.raises(AddressError, match="MODEL"):
            split_adapter(wrong)
