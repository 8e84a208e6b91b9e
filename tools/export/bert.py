"""BERT, under the names of its checkpoints. Devlin et al., NAACL 2019."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-12


@dataclass(frozen=True)
class BertConfig:
    """The defaults are bert-base-uncased."""
    vocabulary: int = 30522
    channels: int = 768
    layers: int = 12
    heads: int = 12
    inner: int = 3072
    positions: int = 512


class BertLayer(nn.Module):
    """Self-attention and two dense layers. GLIP's clamps to +-50000 guard half precision and are left out."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads, channels = config.heads, config.channels

        def output(inputs: int) -> nn.ModuleDict:
            return nn.ModuleDict({"dense": nn.Linear(inputs, channels), "LayerNorm": nn.LayerNorm(channels, EPSILON)})

        projections = nn.ModuleDict({name: nn.Linear(channels, channels) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"self": projections, "output": output(channels)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(channels, config.inner)})
        self.output = output(config.inner)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`x`: `[N, L, D]`; `mask`: `[N, L]`, 1 = token, 0 = padding, which nothing looks at."""
        tokens, channels = x.shape[1:]
        q, k, v = (self.attention["self"][name](x).reshape(-1, tokens, self.heads, channels // self.heads).transpose(1, 2)
                   for name in ("query", "key", "value"))
        scores = (q @ k.transpose(2, 3)) * (channels // self.heads) ** -0.5 + hidden(mask)[:, None, None]
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(-1, tokens, channels)
        x = add(self.attention["output"], x, y)
        return add(self.output, x, F.gelu(self.intermediate["dense"](x)))


def add(output: nn.ModuleDict, x: Tensor, y: Tensor) -> Tensor:
    return output["LayerNorm"](output["dense"](y) + x)


def hidden(mask: Tensor) -> Tensor:
    """What is added to scores: nothing for a token, so much that its exponential is 0 for padding."""
    return (1 - mask.float()) * -1e9


class Bert(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict({
            "word_embeddings": nn.Embedding(config.vocabulary, config.channels),
            "position_embeddings": nn.Embedding(config.positions, config.channels),
            "token_type_embeddings": nn.Embedding(2, config.channels),
            "LayerNorm": nn.LayerNorm(config.channels, EPSILON)})
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(BertLayer(config) for _ in range(config.layers))})

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """`[T, L]` token numbers and mask to the last hidden state `[T, L, D]`."""
        e = self.embeddings
        x = e["word_embeddings"](input_ids) + e["position_embeddings"].weight[:input_ids.shape[1]]
        x = e["LayerNorm"](x + e["token_type_embeddings"].weight[0])
        for layer in self.encoder["layer"]:
            x = layer(x, attention_mask)
        return x
