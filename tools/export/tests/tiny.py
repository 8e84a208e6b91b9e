"""Tiny models with random weights."""

import torch
from transformers import BertConfig as TheirBertConfig
from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

import glip
from bert import BertConfig

# The windows of 7 divide none of the maps' sides, so that they are padded; the last two levels are odd.
GLIP = glip.Config((16, (2, 1, 1, 1), (1, 2, 2, 4), 7), layers=1, text=BertConfig(40, 32, 2, 4, 64), channels=32,
                   fusion=(64, 4), groups=4, size=160)
# Of GroundingDINO's text: 1012 is its full stop.
WORDS = 1100


def randomize(module):
    """Weights so large that no part of the network is without effect."""
    for tensor in module.parameters():
        torch.nn.init.normal_(tensor, std=0.2 if tensor.ndim > 1 else 0.5)
    return module.eval().requires_grad_(False)


def dino():
    swin = SwinConfig(image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, out_indices=[2, 3, 4])
    bert = TheirBertConfig(vocab_size=WORDS, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                           max_position_embeddings=64)
    model = GroundingDinoForObjectDetection(GroundingDinoConfig(
        backbone_config=swin, text_config=bert, num_queries=12, d_model=32, max_text_len=64, encoder_layers=1,
        decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=32, decoder_ffn_dim=32,
        encoder_n_points=2, decoder_n_points=2)).eval().requires_grad_(False)
    for name, tensor in model.named_parameters():
        if tensor.ndim > 1 and "sampling_offsets" not in name:
            torch.nn.init.normal_(tensor, std=0.15)
    return model
