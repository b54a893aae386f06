"""Methods by name. A method is one file, one YAML in editing/configs, and one line here."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import yaml

from editing.methods.base import Method, Resources
from pipeline.core.config import Section, parse_section, read_yaml
from pipeline.core.errors import unknown_name

CONFIGS = Path(__file__).parent.parent / "configs"
"""Hyper-parameters: <name>.yaml."""

METHODS = {
    "none": "editing.methods.prompting:Prompting",
    "in_context": "editing.methods.prompting:Prompting",
    "reminder": "editing.methods.prompting:Prompting",
    "chain_of_thought": "editing.methods.prompting:Prompting",
    "self_critic": "editing.methods.prompting:Prompting",
    "profile": "editing.methods.prompting:Prompting",
    "rag_bm25": "editing.methods.prompting:Prompting",
    "rag_dense": "editing.methods.prompting:Prompting",
    "ft_l": "editing.methods.fine_tune:FineTune",
    "ft_m": "editing.methods.fine_tune:FineTune",
    "lora": "editing.methods.lora:Lora",
    "adalora": "editing.methods.adalora:AdaLora",
    "grace": "editing.methods.grace:Grace",
    "rome": "editing.methods.rome:Rome",
    "rome_identity": "editing.methods.rome:Rome",
    "memit": "editing.methods.memit:Memit",
    "memit_identity": "editing.methods.memit:Memit",
    "alphaedit": "editing.methods.memit:Memit",
    "emmet": "editing.methods.emmet:Emmet",
    "pe_ft_m": "editing.methods.clustered:ClusteredFineTune",
    "pe_lora": "editing.methods.clustered:ClusteredLora",
    "pe_rome": "editing.methods.clustered:ClusteredRome",
    "pe_memit": "editing.methods.clustered:ClusteredMemit",
    "preference_edit": "editing.methods.preference_edit:PreferenceEdit",
    "preference_edit_gated": "editing.methods.preference_edit:PreferenceEdit",
    "rag_edit": "editing.methods.preference_edit:PreferenceEdit",
}
"""Registered name -> "module:class". Names that share a class differ by their YAML."""


def method_class(name: str) -> type[Method[Any]]:
    """The class registered under `name`.

    Raises:
        ConfigError: no such method; the message holds the closest name.
    """
    registered = name.partition("@")[0]
    if registered not in METHODS:
        raise unknown_name("method", registered, METHODS)
    module, _, attribute = METHODS[registered].partition(":")
    found: type[Method[Any]] = getattr(importlib.import_module(module), attribute)
    return found


def load_config(name: str, model: str = "", configs: Path = CONFIGS) -> Section:
    """The hyper-parameters of a method: `defaults` of its YAML, with `per_model[model]` over them.

    A name may end in settings that go over both, as in "pe_rome@members=9,mode=sequential", for sweeps.

    Raises:
        ConfigError: the method is unknown, or its YAML or the settings in its name do not fit its Config.
    """
    section = method_class(name).Config
    registered, _, settings = name.partition("@")
    document = read_yaml(configs / f"{registered}.yaml")
    values: dict[str, Any] = {**document.get("defaults", {}), **document.get("per_model", {}).get(model, {})}
    for setting in filter(None, settings.split(",")):
        key, _, value = setting.partition("=")
        values[key] = yaml.safe_load(value)
    return parse_section(values, section, where=f"{registered}.yaml")


def create(name: str, config: Section, resources: Resources) -> Method[Any]:
    """The method `name` with its hyper-parameters."""
    return method_class(name)(name, config, resources)
