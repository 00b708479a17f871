"""What lets a small vision transformer learn from few pictures: its starting weights, and which patches it looks at."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from varireal_pretraining.loop import LibraryModel


def set_patch_filters(visual: LibraryModel, pictures: Tensor) -> None:
    """Start the patch embedding from the principal components of the pictures' patches, half whitened.

    A random projection of 768 numbers to 160 mixes fine structure away; the components keep nearly all of it.

    Args:
        visual: open_clip's VisionTransformer.
        pictures: normalised, (count, 3, height, width).
    """
    weight = visual.conv1.weight
    size = weight.shape[-1]
    patches = pictures.unfold(2, size, size).unfold(3, size, size).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * size**2)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    order = torch.arange(len(values) - 1, len(values) - 1 - weight.shape[0], -1)
    gain = values[order].clamp(min=1e-6) ** -0.25
    filters = vectors[:, order].T * gain[:, None]
    with torch.no_grad():
        weight.copy_(filters.reshape(weight.shape) / (filters @ patches.T).std())


def set_positions(visual: LibraryModel) -> None:
    """Start the learnable positional embedding from sines and cosines of the patch's row and column."""
    from open_clip.pos_embed import get_2d_sincos_pos_embed

    table = get_2d_sincos_pos_embed(visual.positional_embedding.shape[1], visual.grid_size[0], cls_token=True)
    with torch.no_grad():
        visual.positional_embedding.copy_(torch.from_numpy(table))


def set_attention(visual: LibraryModel, generator: torch.Generator, query_key: float = 0.7, value: float = 0.4) -> None:
    """Start every attention as trained ones look: similar tokens attend to each other, values are subtracted.

    Mimetic initialisation (Trockman and Kolter 2023, arXiv 2305.09828) with its strengths: the product of query and
    key weights is noise plus a multiple of the identity, that of value and output weights noise minus one.
    """
    for block in visual.transformer.resblocks:
        attention = block.attn
        width, heads = attention.embed_dim, attention.num_heads
        size = width // heads
        queries, keys = [], []
        for _ in range(heads):
            left, right = _factors(width, query_key, query_key, generator)
            queries.append(left[:size])
            keys.append(right[:size])
        left, right = _factors(width, value, -value, generator)
        with torch.no_grad():
            attention.in_proj_weight.copy_(torch.cat([*queries, *keys, left]))
            attention.out_proj.weight.copy_(right.T)


def _factors(width: int, noise: float, diagonal: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return two matrices whose product ``left.T @ right`` is noise plus a multiple of the identity, by strength."""
    product = noise * torch.randn(width, width, generator=generator) / width**0.5 + diagonal * torch.eye(width)
    u, s, vh = torch.linalg.svd(product)
    return s.sqrt()[:, None] * u.T, s.sqrt()[:, None] * vh


class ChosenPatches(nn.Module):
    """Stands in for open_clip's patch dropout: drops background patches rather than any, to save time.

    As in FLIP (Li et al. 2023, arXiv 2212.00794), training on a part of the patches shows the tower more pictures in
    the same time. The masks are known here, so nearly all that is dropped shows no object.

    Set ``kept``, int64 (pictures, patches to keep), before each pass; ``None`` keeps all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept: Tensor | None = None

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the class token and the chosen patches of tokens (pictures, 1 + patches, width)."""
        if self.kept is None:
            return tokens
        index = self.kept[..., None].expand(-1, -1, tokens.shape[-1])
        return torch.cat([tokens[:, :1], tokens[:, 1:].gather(1, index)], 1)


def patch_masks(masks: Tensor, size: int) -> Tensor:
    """Cut masks (pictures, 1, height, width) into patches, (pictures, patches, size * size), row by row."""
    return nn.functional.unfold(masks, size, stride=size).transpose(1, 2)


def choose_patches(masks: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return ``count`` patch indices a picture: those that touch the object first, then any others, in random order.

    Args:
        masks: (pictures, patches, pixels), from :func:`patch_masks`.
    """
    touched = (masks.amax(-1) > 0.5).float()
    return (touched + torch.rand(touched.shape, generator=generator)).topk(count, dim=1).indices
