"""The model `causal-lm`: a pretrained language model of the transformers library as a model of blocks that learns."""

from __future__ import annotations

from typing import Any, TypedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.masking_utils import create_causal_mask

from rk import Training, UserError
from rk_lm.load import configuration, load, quiet

LIKE_LLAMA = ("llama", "qwen2", "qwen3")
"""Families whose layers are all alike: each sees all tokens before it, turned by the same rotary positions."""


class NextToken(TypedDict):
    """The scores of the next token after each token."""

    logits: Float[Tensor, "batch time vocab"]


class CausalLM(nn.Module):
    """A pretrained causal language model as a model of blocks (`rk.Layered`), all of whose weights are trained.

    What works on blocks takes it: `recursive` ties them, early exits leave them, pruning and quantization too. `lora`
    wraps it. A run keeps all weights, and needs only the model's configuration where it is loaded again.

    Args:
        seed: Of random weights.
        model: An alias (`smollm2`, ...), an id on the Hugging Face hub, or a folder that `save_pretrained` has written.
            Its layers must be alike, as those of Llama, SmolLM2 and Qwen are.
        pretrained: Whether it begins with the model's weights; else with random ones.
        random_init: Takes a tiny model of the same family, whose tokens are bytes: this shows the mechanics alone.

    Attributes:
        blocks: The layers; each takes what all of them take besides, masks and positions.

    Raises:
        rk.UserError: When the model is not to be had, or its layers are not alike.

    Examples:
        model: {name: causal-lm, model: smollm2}

        >>> model = CausalLM(seed=0, model="llama", pretrained=False, random_init=True)
        >>> model(tokens=torch.tensor([[1, 2, 3]]))["logits"].shape
        torch.Size([1, 3, 259])
    """

    def __init__(
        self, seed: int, model: str = "smollm2", pretrained: Training[bool] = True, random_init: bool = False
    ) -> None:
        super().__init__()
        whole = _model(model, bool(pretrained), random_init, seed)
        config, decoder = whole.config.get_text_config(decoder=True), whole.get_decoder()
        if config.model_type not in LIKE_LLAMA or len(set(getattr(config, "layer_types", None) or ["full"])) > 1:
            raise UserError(
                f"{model} is a {config.model_type} whose layers are not alike: one cannot replace another",
                f"take a model of one of these families: {', '.join(LIKE_LLAMA)}",
            )
        self.keeps_shape = True
        self.has_weights = bool(pretrained)
        self.name = model
        self.random_init = random_init
        self.config = config
        self.embedding = decoder.embed_tokens
        self.rotary = decoder.rotary_emb
        self.blocks = nn.ModuleList(DecoderBlock(layer) for layer in decoder.layers)
        self.norm = decoder.norm
        self.head = whole.get_output_embeddings()
        self.requires_grad_(True)

    def forward(self, *, tokens: Int[Tensor, "batch time"]) -> NextToken:
        """Returns the logits of whole sequences."""
        hidden, context = self.enter(tokens=tokens)
        for block in self.blocks:
            hidden = block(hidden, *context)
        return self.leave(hidden)

    def enter(
        self, *, tokens: Int[Tensor, "batch time"]
    ) -> tuple[Float[Tensor, "batch time d_model"], tuple[Tensor | None, Tensor, tuple[Tensor, Tensor]]]:
        """Returns what the first block takes, and the mask, the positions and their rotations that each block takes."""
        hidden = self.embedding(tokens)
        positions = torch.arange(tokens.shape[1], device=tokens.device).unsqueeze(0)
        settings: dict[str, Any] = {"attention_mask": None, "past_key_values": None, "position_ids": positions}
        mask: Any = create_causal_mask(self.config, hidden, **settings)
        return hidden, (mask, positions, self.rotary(hidden, positions))

    def leave(self, hidden: Float[Tensor, "batch time d_model"]) -> NextToken:
        """Returns the logits from what the last block gave."""
        return {"logits": self.head(self.norm(hidden))}

    def whole(self) -> Any:
        """Returns the model of the transformers library with the weights of this one, each block its own.

        Raises:
            rk.UserError: When the blocks have weights that the library's layers do not have.
        """
        from transformers import AutoModelForCausalLM

        with quiet():
            found = AutoModelForCausalLM.from_config(self.config)
        decoder = found.get_decoder()
        pairs: list[tuple[nn.Module, nn.Module]] = [
            (decoder.embed_tokens, self.embedding),
            (decoder.norm, self.norm),
            (found.get_output_embeddings(), self.head),
        ]
        for layer, block in zip(decoder.layers, self.blocks, strict=True):
            pairs.append((layer, block.get_submodule("layer")))
        for theirs, own in pairs:
            if set(theirs.state_dict()) != set(own.state_dict()):
                raise UserError(
                    f"{self.name} has weights that the transformers library does not know",
                    "merge them first: rk export RUN --to untied, or --to merged",
                )
            theirs.load_state_dict(own.state_dict())
        return found.eval()


class DecoderBlock(nn.Module):
    """A layer of the transformers library as a block.

    Args:
        layer: The decoder layer.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self,
        hidden: Float[Tensor, "batch time d_model"],
        mask: Tensor | None,
        positions: Int[Tensor, "1 time"],
        rotary: tuple[Tensor, Tensor],
    ) -> Float[Tensor, "batch time d_model"]:
        found: Tensor = self.layer(
            hidden, attention_mask=mask, position_embeddings=rotary, position_ids=positions, use_cache=False
        )
        return found


def _model(name: str, pretrained: bool, random_init: bool, seed: int) -> Any:
    """Returns a model of the transformers library: with its weights, or with random ones."""
    from transformers import AutoModelForCausalLM

    if pretrained or random_init:
        return load(name, random_init=random_init, seed=seed).layered.model
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(configuration(name)).float()
