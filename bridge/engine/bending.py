"""The `bend` of a job, as the model's steering."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.model.compiled import CompiledModel
from bridge.model.steering import Steering


def steering_of(model: CompiledModel, bend: Mapping[str, Any]) -> Steering:
    """How the model is to be steered for what `bridge.session.bending` gathered."""
    return Steering()
