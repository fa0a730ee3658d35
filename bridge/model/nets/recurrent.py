"""LSTM steps as the compiled modules take them: what comes in is worked out for all steps at once, and what is left per
step is one product with the states, in int8 where the machine has it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bridge.model.nets.scripting import kept, packed
from bridge.model.nets.vae import weights_of

#: LSTM states lie in (-1, 1): one fixed scale serves every row, batch and chunk alike.
_STATE_SCALE, _STATE_ZERO = 1.0 / 127.0, 128


class _Float32Product(nn.Module):
    """sums + h W, in float32."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = kept(weight.T)

    def forward(self, sums: Tensor, h: Tensor) -> Tensor:
        return torch.addmm(sums, h, self.weight)


class _Int8Product(nn.Module):
    """sums + h W with int8 weights, one scale a row, and states in int8 at a fixed scale."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.packed = packed(weight)
        self.scale: float = _STATE_SCALE
        self.zero: int = _STATE_ZERO

    def forward(self, sums: Tensor, h: Tensor) -> Tensor:
        product: Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            h, self.scale, self.zero, self.packed
        )
        return sums + product


def product(weight: Tensor, *, int8: bool) -> nn.Module:
    """A module that adds to sums (B, N), or (N,) of every row, what weights (N, H) make of LSTM states (B, H)."""
    return _Int8Product(weight) if int8 else _Float32Product(weight)


def following(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The next hidden and cell states (B, H) of an LSTM, from the sums (B, 4H) of its gates and its cell state."""
    i, f, g, o = gates.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class _Int8Lstm(nn.Module):
    """Hidden states (B, T, H) of an LSTM's first layer in one direction, from inputs (B, T, E) and the states (B, H) it
    begins with; of its way back they are in the order in which it goes. Recurrent weights are in int8: for one window
    the reading of them is most of the work.
    """

    def __init__(self, lstm: nn.LSTM, suffix: str = "") -> None:
        super().__init__()
        weights = weights_of(lstm, suffix)
        self.into = kept(weights.input.T)
        self.bias = kept(weights.input_bias + weights.recurrent_bias)
        self.recurrent = _Int8Product(weights.recurrent)
        self.backwards: bool = suffix != ""

    def forward(self, inputs: Tensor, h: Tensor, c: Tensor) -> Tensor:
        told = torch.matmul(inputs, self.into) + self.bias
        steps = inputs.size(1)
        hidden: list[Tensor] = []
        for t in range(steps):
            h, c = following(self.recurrent(told[:, steps - 1 - t if self.backwards else t], h), c)
            hidden.append(h)
        return torch.stack(hidden, 1)


class _Float32Lstm(nn.Module):
    """The same of its way onwards, in float32."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, inputs: Tensor, h: Tensor, c: Tensor) -> Tensor:
        hidden: Tensor = self.lstm(inputs, (h.unsqueeze(0).contiguous(), c.unsqueeze(0).contiguous()))[0]
        return hidden


class _Int8Reader(nn.Module):
    """The last states of both directions (B, 2H) of a bidirectional LSTM over inputs (B, T, E)."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.size: int = lstm.hidden_size
        self.onwards, self.back = _Int8Lstm(lstm), _Int8Lstm(lstm, "_reverse")

    def forward(self, inputs: Tensor) -> Tensor:
        nothing = torch.zeros([inputs.size(0), self.size])
        both = [self.onwards(inputs, nothing, nothing)[:, -1], self.back(inputs, nothing, nothing)[:, -1]]
        return torch.cat(both, dim=1)


class _Float32Reader(nn.Module):
    """The same, in float32."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, inputs: Tensor) -> Tensor:
        last = self.lstm(inputs)[1][0]
        return torch.cat([last[0], last[1]], dim=1)


def runner(lstm: nn.LSTM, *, int8: bool) -> nn.Module:
    """A module that gives an LSTM's hidden states (B, T, H) from inputs (B, T, E), h and c (B, H)."""
    return _Int8Lstm(lstm) if int8 else _Float32Lstm(lstm)


def reader(lstm: nn.LSTM, *, int8: bool) -> nn.Module:
    """A module that reads inputs (B, T, E) as a bidirectional LSTM does: the last states of both directions (B, 2H)."""
    return _Int8Reader(lstm) if int8 else _Float32Reader(lstm)
