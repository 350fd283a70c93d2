"""The model `recoded`: gradient steps on the activations of any language model that streams (arXiv:2101.00674)."""

# b batch, t time, d width, v tokens

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Bool, Float, Int
from rk_sequence.generation import continued
from torch import Tensor

from rk import UserError
from rk.fields import IGNORED
from rk.protocols import Model
from rk.states import map_states, tensors_of, with_rows_from
from rk_recoding.between import BetweenTokens
from rk_recoding.ensemble import AnchoredHead
from rk_recoding.fields import RecodedOutputs
from rk_recoding.places import Layers, chosen, first_of_top, replaced
from rk_recoding.signals import ENTROPIES, Signal, predictive_entropy, surprisal, token_perplexity
from rk_recoding.steps import Step, StepSizes

MEMBERS = "ensemble-entropy needs a base with an ensemble of heads: {name: anchored-ensemble, base: ...}"


class Recoded(BetweenTokens):
    """A language model whose state takes a gradient step after each token: s' = s - alpha ds, ds the gradient of an
    error signal with respect to the state that the token has just led to.

    Steps are of first order, for each row by itself; the weights stay as they are. Gradients reach tensors of a state
    that the answer of the same step is computed from; others stay as they are. A surprisal counts from the next token
    on. An entropy also changes the prediction at hand, which is decoded again. In training, gradients of the loss pass
    s' = s - alpha ds through s and alpha, with ds as a constant.

    Args:
        base: A model with `initial_state`, `scan` and `head`, such as `language-model` with layers that stream.
        signal: `nll` is -log p of the token that came next; `ppl-token` the official code's p^(-p) - 1; `mc-entropy`
            the entropy of the mean over dropout samples; `ensemble-entropy` that of the mean over an ensemble of heads.
        step: Step sizes: `fixed`, `learned` for each tensor, or predicted from it by an `mlp`.
        step_size: The fixed step; `learned` and `mlp` are multiplied by it.
        layers: Recodes `all` layers, or the `top` one.
        states: Numbers of the tensors in a layer's state that are recoded (of an LSTM 0 is h, 1 the cell); null: all.
        gold: Whether a surprisal is of the token that came next, `always`, or only when it answers, `eval-only`, or
            `never`. Where it is not, and where no token follows, it is of the likeliest token.
        redecode: Whether the prediction at hand is decoded again; null: for entropies.
        num_samples: Dropout samples. Rows of a batch share their masks.
        mc_dropout: Share that a sample drops.
        grad_clip: Bounds the norm of each row's gradient over all its tensors; null: does not.
        eval_only: Does not recode in training.

    Examples:
        model: {name: recoded, base: {name: language-model, layer: lstm}, signal: nll, step_size: 0.5}

        >>> from rk_rnn.lstm import LSTM
        >>> from rk_sequence.language_model import LanguageModel
        >>> model = Recoded(LanguageModel(vocab_size=5, layer=LSTM))
        >>> model.predict(tokens=torch.tensor([[0, 1, 2, 3]]))["signal"].shape
        torch.Size([1, 4])
    """

    def __init__(
        self,
        base: Model,
        signal: Signal = "nll",
        step: Step = "fixed",
        step_size: Annotated[float, Ge(0)] = 0.5,
        layers: Layers = "all",
        states: list[Annotated[int, Ge(0)]] | None = None,
        gold: Literal["always", "eval-only", "never"] = "always",
        redecode: bool | None = None,
        num_samples: Annotated[int, Ge(1)] = 8,
        mc_dropout: Annotated[float, Gt(0), Lt(1)] = 0.2,
        grad_clip: Annotated[float, Gt(0)] | None = None,
        eval_only: bool = False,
    ) -> None:
        super().__init__(base, "head")
        if signal == "ensemble-entropy" and not isinstance(self.head, AnchoredHead):
            raise ValueError(MEMBERS)
        if redecode and signal not in ENTROPIES and gold != "never":
            raise ValueError("redecode with a surprisal would read the token that is predicted: it needs gold: never")
        state = self.initial_state(1)
        numbers = chosen(state, layers, states)
        if not numbers:
            raise ValueError(f"states must be numbers of tensors in a layer's state, got {states}")
        sizes = [tensor[0].numel() for i, tensor in enumerate(tensors_of(state)) if i in numbers]
        if step == "mlp" and 0 in sizes:
            raise ValueError("step: mlp needs a state of fixed size, got one that grows")
        self.signal = signal
        self.layers: Layers = layers
        self.states = states
        self.gold = gold
        self.redecode = signal in ENTROPIES if redecode is None else redecode
        self.num_samples = num_samples
        self.mc_dropout = mc_dropout
        self.grad_clip = grad_clip
        self.eval_only = eval_only
        self.steps = StepSizes(step, sizes, step_size)

    @property
    def recodes(self) -> bool:
        """Whether anything is recoded now."""
        nothing = self.steps.kind == "fixed" and self.steps.scale == 0
        return not nothing and not (self.training and self.eval_only)

    def forward(self, *, targets: Int[Tensor, "batch time"] | None = None, **fields: Tensor) -> Any:  # Any: base's
        """Returns the base's outputs, with recoding; without any, they are the base's to the last bit."""
        if not self.recodes:
            return super().forward(**fields)
        tokens = fields["tokens"]
        return self.scan(
            state=self.initial_state(len(tokens)), tokens=tokens, mask=fields.get("mask"), targets=targets
        )[0]

    def predict(self, *, targets: Int[Tensor, "batch time"] | None = None, **fields: Tensor) -> RecodedOutputs:
        """Returns the scores of what comes next after each token, and the signal before and after each step.

        The signal after a step is that of what the head gives for the recoded activations. With `continue_meta`, a
        continuation is returned, by a state that is recoded too.
        """
        tokens, mask = fields["tokens"], fields.get("mask")
        state = self.initial_state(len(tokens))
        if fields.get("continue_meta"):
            whole: Any = self  # Any: its `scan` needs tokens
            last, drawn = continued(whole, tokens, mask, self.max_new_tokens, self.temperature, self.top_k)
            none = last.new_zeros(last.shape[:2])
            return {"logits": last, "values": last, "signal": none, "recoded_signal": none, "continuation": drawn}
        logits, before, after, _ = self.loop(state, tokens, mask, targets, measure=True)
        if not self.recodes:
            logits = super().forward(**fields)["logits"]
        return {"logits": logits, "values": logits, "signal": before, "recoded_signal": after}

    def initial_state(self, batch_size: int) -> Any:
        """Returns the base's state before the first token."""
        return self.base.initial_state(batch_size)

    def scan(
        self,
        *,
        state: Any,
        tokens: Int[Tensor, "batch time"],
        mask: Bool[Tensor, "batch time"] | None = None,
        targets: Int[Tensor, "batch time"] | None = None,
    ) -> tuple[Any, Any]:
        """Takes a further piece of each sequence, token by token; see `rk_sequence.model.SequenceModel.scan`.

        The token that follows a piece is the last of `targets`; without them, its place is taken by the likeliest.
        """
        if not self.recodes:
            return self.base.scan(state=state, tokens=tokens, mask=mask)
        logits, _, _, state = self.loop(state, tokens, mask, targets)
        return {"logits": logits, "values": logits}, state

    def loop(
        self,
        state: Any,
        tokens: Int[Tensor, "b t"],
        mask: Bool[Tensor, "b t"] | None = None,
        targets: Int[Tensor, "b t"] | None = None,
        *,
        measure: bool = False,
    ) -> tuple[Float[Tensor, "b t v"], Float[Tensor, "b t"], Float[Tensor, "b t"], Any]:
        """Reads tokens one by one and recodes the state after each.

        Returns:
            Scores of the next tokens, the signal before and, if `measure`, after each step, and the state.
        """
        learns = torch.is_grad_enabled()
        gold, known = self._gold(tokens, targets)
        found, before, after = [], [], []
        with torch.enable_grad(), self._watched() as seen:
            for t in range(tokens.shape[1]):
                here = None if mask is None else mask[:, t : t + 1]
                previous = map_states(_differentiable if learns else _leaf, state)
                outputs, state, grew = self._read(previous, tokens[:, t : t + 1], here)
                logits, given = outputs["logits"][:, -1], seen[0]
                hidden = given[:, -1]
                aim = torch.where(known[:, t], gold[:, t], logits.detach().argmax(-1))
                counts = aim != IGNORED
                if here is not None:
                    counts = counts & here[:, 0]
                masks = self._masks(hidden)
                signal = self._signal(logits, hidden, aim, masks) * counts
                state, recoded = self._step(state, signal, given, learns)
                if here is not None and not grew:
                    state = with_rows_from(previous, ~here[:, 0], state)
                found.append(self.head(recoded) if self.redecode else logits)
                if measure:
                    before.append(signal.detach())
                    with torch.no_grad():
                        again = self.head(recoded)
                        after.append(self._signal(again, recoded, aim, masks) * counts)
                if not learns:
                    found[-1], state = found[-1].detach(), map_states(Tensor.detach, state)
        none = found[0].new_zeros(0)
        stacked = (torch.stack(part, 1) if part else none for part in (found, before, after))
        logits, one, two = stacked
        return logits, one, two, state

    def _read(self, state: Any, tokens: Int[Tensor, "b 1"], mask: Bool[Tensor, "b 1"] | None) -> tuple[Any, Any, bool]:
        """Returns the outputs of one step, the state after it, and whether that is larger than the one before.

        A mask may hide the state from the answer: rows without this step are put back later. A state that grows, as
        that of attention does, must be masked by the layer.
        """
        outputs, after = self.base.scan(state=state, tokens=tokens)
        grew = any(a.shape != b.shape for a, b in zip(tensors_of(after), tensors_of(state), strict=True))
        if mask is not None and grew:
            outputs, after = self.base.scan(state=state, tokens=tokens, mask=mask)
        return outputs, after, grew

    def _gold(
        self, tokens: Int[Tensor, "b t"], targets: Int[Tensor, "b t"] | None
    ) -> tuple[Int[Tensor, "b t"], Bool[Tensor, "b t"]]:
        """Returns the token after each, and whether it may be used."""
        if targets is None:
            targets = torch.cat([tokens[:, 1:], tokens[:, -1:]], 1)
            known = torch.ones_like(targets, dtype=torch.bool)
            known[:, -1] = False
        else:
            known = torch.ones_like(targets, dtype=torch.bool)
        if self.gold == "never" or (self.gold == "eval-only" and self.training):
            known = known & (targets == IGNORED)
        return targets, known

    def _signal(
        self,
        logits: Float[Tensor, "b v"],
        hidden: Float[Tensor, "b d"],
        aim: Int[Tensor, "b"],
        masks: Float[Tensor, "k 1 d"] | None,
    ) -> Float[Tensor, "b"]:
        if masks is not None:
            return predictive_entropy(self.head(hidden * masks))
        if self.signal == "ensemble-entropy":
            return predictive_entropy(self.head.members(hidden))
        measure = surprisal if self.signal == "nll" else token_perplexity
        return measure(logits, aim.clamp(min=0))

    def _masks(self, hidden: Float[Tensor, "b d"]) -> Float[Tensor, "k 1 d"] | None:
        """Returns the dropout masks of this step's samples, the same for all rows."""
        if self.signal != "mc-entropy":
            return None
        kept = torch.rand(self.num_samples, 1, hidden.shape[-1], device=hidden.device) >= self.mc_dropout
        return kept.to(hidden.dtype) / (1 - self.mc_dropout)

    def _step(
        self, state: Any, signal: Float[Tensor, "b"], given: Float[Tensor, "b 1 d"], learns: bool
    ) -> tuple[Any, Float[Tensor, "b d"]]:
        """Returns the recoded state, and what the head would be given after the step."""
        places = list(tensors_of(state))
        numbers = chosen(state, self.layers, self.states)
        tensors = [places[i] for i in numbers]
        gradients, of_given = _gradients(signal, tensors, given, learns)
        known = {k: _finite(g) for k, g in enumerate(gradients) if g is not None}
        if not known:
            raise UserError(
                "no tensor of the state is in the answer of its own step: nothing can be recoded",
                "another layer, or other model.states",
            )
        of_hidden = _finite(of_given)[:, -1]
        if self.grad_clip is not None:
            norms = torch.stack([g.flatten(1).norm(dim=1) for g in known.values()]).norm(dim=0)
            factor = (self.grad_clip / norms.clamp(min=1e-12)).clamp(max=1)
            known = {k: g * factor.view(-1, *[1] * (g.ndim - 1)) for k, g in known.items()}
            of_hidden = of_hidden * factor.unsqueeze(1)
        sizes = {k: self.steps(k, tensors[k]) for k in known}
        top = first_of_top(state, numbers)
        new = {numbers[k]: tensors[k] - sizes[k] * g for k, g in known.items()}
        size = sizes[top] if top in sizes else next(iter(sizes.values()))
        if isinstance(size, Tensor):
            size = size.view(-1, 1)
        return replaced(state, new), given[:, -1] - size * of_hidden

    @contextmanager
    def _watched(self) -> Iterator[list[Tensor]]:
        """Keeps what the head was given last."""
        seen: list[Tensor] = [torch.empty(0)]

        def keep(_: object, inputs: tuple[Tensor, ...]) -> None:
            if inputs[0].ndim == 3 and inputs[0].shape[1] == 1:
                seen[0] = inputs[0]

        handle = self.head.register_forward_pre_hook(keep)
        try:
            yield seen
        finally:
            handle.remove()


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_() if tensor.is_floating_point() else tensor


def _differentiable(tensor: Tensor) -> Tensor:
    return tensor if tensor.requires_grad else _leaf(tensor)


def _gradients(
    signal: Float[Tensor, "b"], tensors: list[Tensor], given: Float[Tensor, "b 1 d"], learns: bool
) -> tuple[list[Tensor | None], Tensor]:
    """Returns the gradient of the signal for each tensor of a state, in one pass, and that for what the head was given.

    A tensor may be a view of what the answer is computed from: then the gradient of that is viewed in the same way.
    """
    wanted: dict[int, Tensor] = {id(given): given}
    for tensor in tensors:
        for one in (tensor, tensor._base):
            if one is not None and one.requires_grad:
                wanted[id(one)] = one
    found = torch.autograd.grad(signal.sum(), list(wanted.values()), retain_graph=learns, allow_unused=True)
    of = dict(zip(wanted, found, strict=True))
    gradients = []
    for tensor in tensors:
        base, gradient = tensor._base, of.get(id(tensor))
        if gradient is None and base is not None and base.is_contiguous() and of.get(id(base)) is not None:
            start = tensor.storage_offset() - base.storage_offset()
            gradient = of[id(base)].contiguous().as_strided(tensor.shape, tensor.stride(), start)
        gradients.append(gradient)
    return gradients, of[id(given)]


def _finite(gradient: Tensor) -> Tensor:
    """Returns a gradient with zeros for what is not a number: there, nothing is recoded."""
    broken = gradient.isnan()
    if not broken.any():
        return gradient
    warnings.warn("a gradient of the signal is not a number; there the state stays as it is", stacklevel=2)
    return gradient.masked_fill(broken, 0)
