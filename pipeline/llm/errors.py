"""What can go wrong with a language model call, one type each."""

from __future__ import annotations

from pipeline.core.errors import UpqaError


class LLMError(UpqaError):
    """A language model call did not give a usable reply."""


class EndpointError(LLMError):
    """The endpoint stayed down, busy or silent through all attempts; finished calls are kept, run again to go on."""


class AccessError(LLMError):
    """The endpoint refused the key (401, 403) or the account is out of credit."""


class BudgetError(LLMError):
    """The next call could exceed `llm.budget_usd`; finished calls are kept."""


class RequestError(LLMError):
    """The endpoint refused this one request (400, 404, 413, 422), for example a prompt longer than the context."""


class CutOffError(LLMError):
    """The reply ran into the token limit or a filter: it is not a value."""


class UnparsableError(LLMError):
    """The reply is not the JSON that its schema asks for."""


FATAL = (EndpointError, AccessError, BudgetError)
"""Errors that stop a run; the others concern one request and are returned in its place."""
