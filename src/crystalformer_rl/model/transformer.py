"""The network of CrystalFormer: a causal transformer over the tokens W A X Y Z of every site.

arXiv 2403.15734, with the rotary positions of the Alex-20 weights or the learned positions of the
older MP-20 weights. The implementation differs from the published code, the function does not:
query, key and value are one matrix; the two numbers that a rotary position rotates are neighbours
(:func:`rotary_order`); the sampler uses a key-value cache; dropout acts on the outputs of attention
and MLP but not on the attention weights, which fused attention never materialises.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from crystalformer_rl.config import ModelSettings
from crystalformer_rl.jobs.device import uploaded

ELEMENTS = 119
LETTERS = 28
GROUPS = 230
TOKENS_PER_SITE = 5
INITIAL_SCALE = 0.01


def output_size(settings: ModelSettings) -> int:
    """Width of the output layer: the largest of its three kinds of output."""
    return max(ELEMENTS + lattice_size(settings), coordinate_size(settings), LETTERS)


def coordinate_size(settings: ModelSettings) -> int:
    """Number of logits, locations and concentrations of a coordinate's mixture."""
    return 3 * settings.coordinate_modes


def lattice_size(settings: ModelSettings) -> int:
    """Number of logits, means and widths of the lattice's mixture: 1 + 6 + 6 per component."""
    return 13 * settings.lattice_modes


class Cache:
    """Keys and values of the tokens processed so far, for B sequences of the same length.

    The tokens come first, ``(2, T, B, H, D)``, so that those of one step are next to each other.

    Parameters
    ----------
    capacity
        Longest expected sequence; the storage grows by doubling up to it.
    """

    def __init__(self, layers: int, *, capacity: int) -> None:
        self.length = 0
        self._capacity = capacity
        self._store: list[Tensor | None] = [None] * layers

    def append(self, layer: int, new: Tensor) -> tuple[Tensor, ...]:
        """Append keys and values ``(2, B, H, D)`` to one layer; return all, ``(T, B, H, D)``."""
        store, end = self._store[layer], self.length + 1
        if store is None or store.shape[1] < end:
            size = min(max(2 * end, 32), self._capacity)
            larger = new.new_empty(2, size, *new.shape[1:])
            if store is not None:
                larger[:, : self.length] = store[:, : self.length]
            store = self._store[layer] = larger
        store[:, self.length] = new
        return store[:, :end].unbind()

    def keep(self, order: NDArray[np.int64]) -> None:
        """Keep only the sequences ``order``; only those that change place are copied."""
        moved = np.flatnonzero(order != np.arange(len(order)))
        places = sources = None
        for layer, store in enumerate(self._store):
            if store is None:
                continue
            if places is None or sources is None:
                places, sources = (uploaded(x, store.device) for x in (moved, order[moved]))
            store[:, : self.length, places] = store[:, : self.length, sources]
            self._store[layer] = store[:, :, : len(order)]

    @classmethod
    def join(cls, caches: "Sequence[Cache]") -> "Cache":
        """Concatenate caches of the same length along the batch."""
        joined = cls(len(caches[0]._store), capacity=caches[0]._capacity)
        joined.length = caches[0].length
        for layer, stores in enumerate(zip(*(cache._store for cache in caches), strict=True)):
            seen = [store[:, : joined.length] for store in stores if store is not None]
            joined._store[layer] = torch.cat(seen, dim=2) if seen else None
        return joined


def cache_bytes(settings: ModelSettings) -> int:
    """Bytes of the keys and values of one sequence of full length, in single precision."""
    tokens = TOKENS_PER_SITE * settings.max_sites
    return 2 * settings.layers * settings.heads * settings.key_size * tokens * 4


class Block(nn.Module):
    """Pre-norm attention and MLP with a residual around each."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        inner, width = settings.heads * settings.key_size, settings.width
        self.heads = settings.heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * inner)
        self.attention_out = nn.Linear(inner, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, settings.widening * width)
        self.mlp_out = nn.Linear(settings.widening * width, width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, h: Tensor, rotation: Tensor | None) -> Tensor:
        """``(B, T, width)`` to the same shape, causal along T."""
        batch, length, _ = h.shape
        # Three products instead of one: the gradient of a split would copy all three.
        projected = self.attention_norm(h)
        weights, biases = self.query_key_value.weight.chunk(3), self.query_key_value.bias.chunk(3)
        query, key, value = (
            functional.linear(projected, *matrix).view(batch, length, self.heads, -1)
            for matrix in zip(weights, biases, strict=True)
        )
        if rotation is not None:
            query, key = _rotate(query, rotation), _rotate(key, rotation)
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        seen = seen.transpose(1, 2).reshape(batch, length, -1)
        return self._finish(h, seen)

    def step(self, h: Tensor, turn: Tensor | None, cache: Cache, layer: int) -> Tensor:
        """:meth:`forward` for one more token of each sequence, ``(B, width)``.

        ``turn`` is the rotation as complex numbers ``(D / 2,)``. Few sequences take the time of the
        calls and not of the numbers, so query and key are turned together and in place.
        """
        projected = self.query_key_value(self.attention_norm(h))
        projected = projected.view(h.shape[0], 3, self.heads, -1)
        if turn is not None:
            torch.view_as_complex(projected[:, :2].unflatten(-1, (-1, 2))).mul_(turn)
        seen = _attend(projected[:, 0], *cache.append(layer, projected[:, 1:].transpose(0, 1)))
        return self._finish(h, seen.flatten(1))

    def _finish(self, h: Tensor, seen: Tensor) -> Tensor:
        """Add the output of the attention, then that of the MLP."""
        h = h + self._thinned(self.attention_out(seen))
        hidden = functional.gelu(self.mlp_in(self.mlp_norm(h)), approximate="tanh")
        return h + self._thinned(self.mlp_out(hidden))

    def _thinned(self, x: Tensor) -> Tensor:
        """Dropout, without two calls in vain for a token of the sampler."""
        out: Tensor = self.dropout(x) if self.training else x
        return out


class Transformer(nn.Module):
    """Embeddings, blocks and the output layer; ``likelihood`` defines what the outputs mean."""

    rotation: Tensor

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        width, embedding = settings.width, settings.embedding
        hidden, fourier = settings.first_letter_hidden, 2 * settings.frequencies
        self.space_group = nn.Embedding(GROUPS, embedding)
        self.letter = nn.Embedding(LETTERS, embedding)
        self.element = nn.Embedding(ELEMENTS, embedding)
        self.first_letter_in = nn.Linear(embedding, hidden)
        self.first_letter_out = nn.Linear(hidden, LETTERS)
        self.letter_in = nn.Linear(2 * embedding + 1, width)
        self.element_in = nn.Linear(2 * embedding, width)
        self.coordinate_in = nn.ModuleList(nn.Linear(embedding + fourier, width) for _ in "xyz")
        length = TOKENS_PER_SITE * settings.max_sites
        if settings.positions == "learned":
            self.position = nn.Parameter(torch.zeros(length, width))
        else:
            table = _rotary_table(length, settings.key_size)
            self.register_buffer("rotation", table, persistent=False)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, output_size(settings))

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Published initialisation: normal weights (σ = 0.01, cut at 2σ), biases 0, norms 1."""
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            elif name.endswith("bias"):
                parameter.zero_()
            else:
                drawn = torch.empty(parameter.shape)
                scale = INITIAL_SCALE
                nn.init.trunc_normal_(drawn, 0, scale, -2 * scale, 2 * scale, generator=generator)
                parameter.copy_(drawn)

    def compile_blocks(self, *, backend: str = "inductor") -> None:
        """Compile the blocks with torch; one compilation serves all blocks and lengths.

        For training on a GPU. The sampler's cache does not support it. If the compilation fails,
        torch warns and the blocks run as they are.
        """
        torch._dynamo.config.suppress_errors = True
        for block in self.blocks:
            block.compile(dynamic=True, backend=backend)

    def first_letter(self, group: Tensor) -> Tensor:
        """Logits ``(B, 28)`` of the first letter, from the space group ``(B,)`` only."""
        hidden = self.first_letter_in(self.space_group(group - 1))
        out: Tensor = self.first_letter_out(functional.gelu(hidden, approximate="tanh"))
        return out

    def letter_token(self, group: Tensor, letter: Tensor, multiplicity: Tensor) -> Tensor:
        """``(B, width)`` or ``(B, n, width)`` from integers of shape ``(B,)`` or ``(B, n)``."""
        size = multiplicity[..., None].to(self.letter.weight.dtype)
        return _integer_token(
            self.letter_in,
            torch.cat([self.space_group(group - 1), self.letter(letter), size], dim=-1),
        )

    def element_token(self, group: Tensor, element: Tensor) -> Tensor:
        """As :meth:`letter_token`."""
        return _integer_token(
            self.element_in, torch.cat([self.space_group(group - 1), self.element(element)], dim=-1)
        )

    def coordinate_token(self, group: Tensor, value: Tensor, axis: int) -> Tensor:
        """As :meth:`letter_token`, from fractional coordinates along ``axis`` (0, 1, 2)."""
        harmonics = torch.arange(1, self.settings.frequencies + 1, device=value.device)
        angle = 2 * torch.pi * value[..., None] * harmonics
        waves = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)
        out: Tensor = self.coordinate_in[axis](
            torch.cat([self.space_group(group - 1), waves], dim=-1)
        )
        return out

    def embed(
        self, group: Tensor, letter: Tensor, multiplicity: Tensor, element: Tensor, position: Tensor
    ) -> Tensor:
        """All tokens of n sites in order: ``(B, 5 n, width)``; ``position`` is ``(B, n, 3)``."""
        group = group[:, None].expand_as(letter)
        tokens = [
            self.letter_token(group, letter, multiplicity),
            self.element_token(group, element),
            *(self.coordinate_token(group, position[..., axis], axis) for axis in range(3)),
        ]
        return torch.stack(tokens, dim=2).flatten(1, 2)

    def trunk(self, h: Tensor) -> Tensor:
        """Blocks and final norm: ``(B, T, width)`` to the same shape, causal along T."""
        h, rotation = self._placed(h, slice(h.shape[1]))
        for block in self.blocks:
            h = block(h, rotation)
        out: Tensor = self.norm(h)
        return out

    def step(self, h: Tensor, cache: Cache) -> Tensor:
        """:meth:`trunk` for one more token of each sequence, ``(B, width)``, without gradients."""
        h, rotation = self._placed(h, slice(cache.length, cache.length + 1))
        turn = None if rotation is None else torch.view_as_complex(rotation).flatten()
        for layer, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            h = block.step(h, turn, cache, layer)
        cache.length += 1
        out: Tensor = self.norm(h)
        return out

    def _placed(self, h: Tensor, span: slice) -> tuple[Tensor, Tensor | None]:
        """The tokens at the positions ``span``, and the rotation for the blocks, if any."""
        if self.settings.positions == "learned":
            return h + self.position[span], None
        return h, self.rotation[span, None]

    def read(self, h: Tensor, start: int, stop: int) -> Tensor:
        """Outputs ``start`` to ``stop`` of the output layer for ``(..., width)``."""
        return functional.linear(h, self.out.weight[start:stop], self.out.bias[start:stop])


def _integer_token(layer: nn.Linear, x: Tensor) -> Tensor:
    """``layer(x)`` in single precision, independent of the precision of the other layers.

    JAX computes the tokens of letters and elements in float32 even where everything else is
    float64, and a narrow lattice component turns that rounding into 1e-5 of ln p. To reproduce the
    published numbers, the order of the summation is the same too: even and odd terms separately,
    then the terms beyond a multiple of eight, then the bias.
    """
    x, weight, dtype = x.float(), layer.weight.float(), x.dtype
    end = x.shape[-1] - x.shape[-1] % 8
    out = functional.linear(x[..., :end:2], weight[:, :end:2])
    out = out + functional.linear(x[..., 1:end:2], weight[:, 1:end:2])
    for k in range(end, x.shape[-1]):
        out = out + x[..., k, None] * weight[:, k]
    return (out + layer.bias.float()).to(dtype)


def rotary_order(heads: int, key_size: int) -> NDArray[np.int64]:
    """The order of the rows of a query or key matrix, as indices into the published rows.

    The published code pairs each number of a head's first half with the one at the same place in
    the second half. Here the two are neighbours, so that a rotation is one complex product. Dot
    products do not change.
    """
    halves = np.arange(key_size).reshape(2, -1)
    return (key_size * np.arange(heads)[:, None] + halves.T.ravel()).ravel()


def _attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of one query per sequence ``(B, H, D)`` to all of ``(T, B, H, D)``: ``(B, H, D)``.

    A CPU needs about a third of the time of the fused kernel, which works on one head at a time.
    """
    if query.device.type != "cpu":
        keys, values = keys.permute(1, 2, 0, 3), values.permute(1, 2, 0, 3)
        out: Tensor = functional.scaled_dot_product_attention(query[:, :, None], keys, values)
        return out[:, :, 0]
    scores = (keys * (query * query.shape[-1] ** -0.5)).sum(-1, keepdim=True)
    out = (scores.softmax(0) * values).sum(0)
    return out


def _rotary_table(length: int, key_size: int) -> Tensor:
    """cos and sin ``(length, key_size / 2, 2)`` in float32.

    Computed with numpy, whose float32 powers and rounding match the published code.
    """
    exponent = np.arange(0, key_size, 2, dtype=np.float32) / np.float32(key_size)
    frequency = np.float32(1) / np.float32(10000) ** exponent
    angle = (np.arange(length, dtype=np.float32)[:, None] * frequency).astype(np.float64)
    return torch.tensor(np.stack([np.cos(angle), np.sin(angle)], axis=-1)).float()


def _rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotate the pairs of ``(…, T, H, D)`` by the angles of ``(T, 1, D / 2, 2)``.

    Half precision has no complex numbers, so the product is written out there; the compiler fuses
    it.
    """
    pairs = x.view(*x.shape[:-1], -1, 2)
    if x.dtype in (torch.float32, torch.float64):
        turned = torch.view_as_complex(pairs) * torch.view_as_complex(rotation)
        return torch.view_as_real(turned).flatten(-2)
    first, second = pairs.float().unbind(-1)
    cosine, sine = rotation.unbind(-1)
    turned = torch.stack([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
    return turned.flatten(-2).to(x.dtype)
