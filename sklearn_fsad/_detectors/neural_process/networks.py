"""Define the networks of neural processes: an encoder, an aggregator, a decoder.

The rows of a context are encoded one by one, aggregated over rows and decoded to a distribution of
the hidden features of a query. The kinds differ in their aggregator; the convolutional one also in
its encoder and decoder. In all rows, entries that are missing or hidden are zero and marked by 0 in
``visible``: ``MaskedRows(values, visible)``, each (..., n, d).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..._training.layers import Linear, mlp, row_product
from .closed_forms import MaskedRows, Summary
from .grids import GridDecoder, GridEncoder

_GAIN = 1.4
Encode = Callable[[MaskedRows], Tensor]
KINDS = ("cnp", "np", "anp", "tnp", "convcnp")


# --- encoders: a row -> a token -------------------------------------------------------------------
class RowEncoder(nn.Module):
    """Encode rows by a perceptron on their values and the marks of visible ones.

    Its first layer learns an embedding for every feature, and one for its absence.
    """

    def __init__(self, n_features: int, width: int) -> None:
        super().__init__()
        self.net = _spread(mlp(2 * n_features, [width, width], width), first_biases=1.0)

    def forward(self, rows: MaskedRows) -> Tensor:
        """Encode rows: (..., n, d) -> (..., n, width)."""
        return self.net(torch.cat(rows, -1))


# --- aggregators: the tokens of a context -> its summary, read by a query -------------------------
class MeanAggregator(nn.Module):
    """Average the tokens, as the conditional neural process does [1]_.

    References
    ----------
    .. [1] M. Garnelo et al., "Conditional neural processes", ICML 2018.
    """

    def summarise(self, tokens: Tensor, context: MaskedRows, counted: Tensor) -> Summary:
        """Summarise a context: tokens (..., n, width), rows, counted (..., n) -> named tensors."""
        return {"mean": _mean(tokens, counted)}

    def read(self, summary: Summary, encode: Encode, query: MaskedRows, hidden: Tensor) -> Tensor:
        """Read the context for queries: encoder, (..., q, d), (..., d) -> (..., 1, width)."""
        return summary["mean"]


class LatentAggregator(nn.Module):
    """Predict the normal distribution of one latent variable from the mean of the tokens [1]_.

    The first dimension of what is read is samples of it. In training they are drawn anew; else they
    are those that the module was made with, the same for every query: a sample is one function.

    References
    ----------
    .. [1] M. Garnelo et al., "Neural processes", 2018.
    """

    noise: Tensor

    def __init__(self, width: int, n_samples: int, seed: int) -> None:
        super().__init__()
        self.net = _spread(mlp(width, [width], 2 * width))
        generator = torch.Generator().manual_seed(seed)
        half = torch.randn((n_samples + 1) // 2, width, generator=generator, dtype=torch.float64)
        self.register_buffer("noise", torch.cat([half, -half])[:n_samples], persistent=False)

    def summarise(self, tokens: Tensor, context: MaskedRows, counted: Tensor) -> Summary:
        """Summarise a context: tokens (..., n, width), rows, counted (..., n) -> named tensors."""
        location, scale = self.net(_mean(tokens, counted)).chunk(2, -1)
        # a scale between 0.1 and 1 can neither collapse to a point nor diverge
        return {"location": location, "scale": 0.1 + 0.9 * torch.sigmoid(scale)}

    def read(self, summary: Summary, encode: Encode, query: MaskedRows, hidden: Tensor) -> Tensor:
        """Sample the latent variable: (n_samples, ..., 1, width)."""
        location, scale = summary["location"], summary["scale"]  # (..., 1, width)
        noise = self.noise.to(location.dtype)
        if self.training:
            shape = len(noise), *location.shape
            noise = torch.randn(shape, dtype=location.dtype).to(location.device)
        ones = [1] * (query.values.dim() - noise.dim() + 1)
        return location + scale * noise.reshape(len(noise), *ones, *noise.shape[1:])


class AttentionAggregator(nn.Module):
    """Attend from queries to similar rows of the context [1]_.

    Keys are made of the features that the query does not hide, values of all features.

    References
    ----------
    .. [1] H. Kim et al., "Attentive neural processes", ICLR 2019.
    """

    def __init__(self, n_features: int, width: int, n_heads: int) -> None:
        super().__init__()
        self.key = mlp(2 * n_features, [width], width)
        self.attention = Attention(width, n_heads)

    def summarise(self, tokens: Tensor, context: MaskedRows, counted: Tensor) -> Summary:
        """Summarise a context: tokens (..., n, width), rows, counted (..., n) -> named tensors."""
        return {
            "tokens": tokens,
            "values": context.values,
            "visible": context.visible,
            "counted": counted,
        }

    def read(self, summary: Summary, encode: Encode, query: MaskedRows, hidden: Tensor) -> Tensor:
        """Read the context for queries: encoder, (..., q, d), (..., d) -> (..., q, width)."""
        shown = (1.0 - hidden).unsqueeze(-2)  # (..., 1, d)
        context = MaskedRows(summary["values"] * shown, summary["visible"] * shown)
        keys, values = self.attention.heads(self.key(torch.cat(context, -1)), summary["tokens"])
        return self.attention(self.key(torch.cat(query, -1)), keys, values, summary["counted"])


class TransformerAggregator(nn.Module):
    """Let rows of the context attend to each other and queries to them, layer by layer [1]_.

    References
    ----------
    .. [1] T. Nguyen and A. Grover, "Transformer neural processes: uncertainty-aware meta learning
       via sequence modeling", ICML 2022.
    """

    def __init__(self, width: int, n_heads: int, n_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([TransformerLayer(width, n_heads) for _ in range(n_layers)])

    def summarise(self, tokens: Tensor, context: MaskedRows, counted: Tensor) -> Summary:
        """Summarise a context: tokens (..., n, width), rows, counted (..., n) -> named tensors."""
        summary = {"counted": counted}
        layer: Any
        for i, layer in enumerate(self.layers):
            keys, values = layer.heads(tokens)
            summary |= {f"keys{i}": keys, f"values{i}": values}
            if i + 1 < len(self.layers):  # nobody reads what comes of the last one
                tokens = layer(tokens, keys, values, counted)
        return summary

    def read(self, summary: Summary, encode: Encode, query: MaskedRows, hidden: Tensor) -> Tensor:
        """Read the context for queries: encoder, (..., q, d), (..., d) -> (..., q, width)."""
        tokens = encode(query)
        for i, layer in enumerate(self.layers):
            keys, values = summary[f"keys{i}"], summary[f"values{i}"]
            tokens = layer(tokens, keys, values, summary["counted"])
        return tokens


# --- decoders: a query and what it reads from the context -> numbers for each feature -------------
class RowDecoder(nn.Module):
    """Decode queries by a perceptron on their rows and what they read from the context.

    Attributes
    ----------
    most_a_feature : int
        Numbers that a feature of a query takes in the largest step.
    """

    def __init__(self, n_features: int, width: int, n_out: int) -> None:
        super().__init__()
        self.n_out = self.most_a_feature = n_out
        self.net = _spread(mlp(2 * n_features + width, [width, width], n_features * n_out))

    @property
    def last(self) -> nn.Module:
        """Last layer, whose zeros mean no departure from the anchors."""
        return self.net[-1]

    def forward(self, query: MaskedRows, read: Tensor) -> Tensor:
        """Decode queries: (..., q, d), (..., q or 1, width) -> (..., q, d, n_out)."""
        rows = torch.cat(query, -1)
        shape = torch.broadcast_tensors(rows[..., 0], read[..., 0])[0].shape
        parts = [part.expand(*shape, -1) for part in (rows, read)]
        return self.net(torch.cat(parts, -1)).unflatten(-1, (-1, self.n_out))


# --- layers ---------------------------------------------------------------------------------------
class Attention(nn.Module):
    """Attend to rows by several heads, each row rounded alike."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.to_query, self.to_key = Linear(width, width), Linear(width, width)
        self.to_value, self.mix = Linear(width, width), Linear(width, width)

    def heads(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Project to heads: (..., n, width) each -> (..., n_heads, n, width / n_heads) each."""
        return self._split(self.to_key(keys)), self._split(self.to_value(values))

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, counted: Tensor) -> Tensor:
        """Attend to the counted ones of n rows: (..., q, width), heads -> (..., q, width)."""
        asked = self._split(self.to_query(queries))
        if keys.dim() < asked.dim():  # one context, many ways to hide features
            keys, values = (part.expand(*asked.shape[:-2], -1, -1) for part in (keys, values))
        product = torch.matmul if torch.is_grad_enabled() else row_product
        logit = product(asked * keys.shape[-1] ** -0.5, keys.mT)
        if not counted.all():
            seen = counted[..., None, None, :]  # (..., 1, 1, n)
            logit = logit + torch.where(seen, 0.0, -torch.inf).to(logit.dtype)
        found = product(torch.softmax(logit, -1), values)
        return self.mix(found.transpose(-2, -3).flatten(-2))

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.n_heads, -1)).transpose(-2, -3)


class TransformerLayer(nn.Module):
    """Add attention to a context, and then a perceptron, each of the normalised input."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, n_heads)
        self.norm, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.net = _spread(mlp(width, [2 * width], width))

    def heads(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Compute keys and values of the rows of a context."""
        tokens = self.norm(tokens)
        return self.attention.heads(tokens, tokens)

    def forward(self, tokens: Tensor, keys: Tensor, values: Tensor, counted: Tensor) -> Tensor:
        """Apply the layer: (..., q, width) -> (..., q, width)."""
        tokens = tokens + self.attention(self.norm(tokens), keys, values, counted)
        return tokens + self.net(self.norm2(tokens))


def _spread(net: nn.Sequential, first_biases: float = 0.0) -> nn.Sequential:
    """Initialise a perceptron so that the variance of activations is kept, with gain 1.4 for SiLU.

    PyTorch's own initial weights do not keep it. Uniform biases of the first layer, up to
    ``first_biases``, spread the kinks of its units over the range of the input.
    """
    for i, layer in enumerate(net):
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, _GAIN / layer.in_features**0.5)
            bound = first_biases if i == 0 else 0.0
            nn.init.uniform_(layer.bias, -bound, bound)
    return net


def _mean(tokens: Tensor, counted: Tensor) -> Tensor:
    """Average the counted tokens: (..., n, width), (..., n) -> (..., 1, width)."""
    weight = counted.to(tokens.dtype).unsqueeze(-1)
    if torch.is_grad_enabled():  # in training, a product spares a copy of all tokens
        total = weight.mT @ tokens
    else:
        total = (tokens * weight).sum(-2, keepdim=True)
    return total / weight.sum(-2, keepdim=True).clamp(min=1.0)


class Network(nn.Module):
    """Hold an encoder, an aggregator and a decoder that fit each other.

    Attributes
    ----------
    by_rows : bool
        Whether all masks of a row can be computed at once: the context is read the same way under
        each of them.
    """

    def __init__(
        self, encoder: nn.Module, aggregator: Any, decoder: Any, by_rows: bool = False
    ) -> None:
        super().__init__()
        self.by_rows = by_rows
        self.encoder: Any = encoder
        self.aggregator: Any = aggregator
        self.decoder: Any = decoder


def make_network(
    kind: str,
    n_features: int,
    *,
    width: int,
    n_out: int,
    n_layers: int = 2,
    n_heads: int = 4,
    n_latent_samples: int = 16,
    grid_shape: Sequence[int] | None = None,
    seed: int = 0,
) -> Network:
    """Make encoder, aggregator and decoder of a kind."""
    encoder: nn.Module = RowEncoder(n_features, width)
    decoder: nn.Module = RowDecoder(n_features, width, n_out)
    if kind == "convcnp":
        assert grid_shape is not None
        encoder, decoder = GridEncoder(grid_shape, width), GridDecoder(grid_shape, width, n_out)
    aggregators: dict[str, Callable[[], nn.Module]] = {
        "cnp": MeanAggregator,
        "convcnp": MeanAggregator,
        "np": lambda: LatentAggregator(width, n_latent_samples, seed),
        "anp": lambda: AttentionAggregator(n_features, width, n_heads),
        "tnp": lambda: TransformerAggregator(width, n_heads, n_layers),
    }
    return Network(encoder, aggregators[kind](), decoder, by_rows=kind in ("tnp", "cnp"))
