"""The model `graph-llm`: a frozen language model reads nodes of a graph, which one linear map turns into tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Annotated, Literal, NamedTuple, Self, TypedDict

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor, nn

from rk import Run, UserError
from rk_graphgpt.clip import GraphEncoder, TextGraphClip
from rk_graphgpt.frozen import FrozenLM, PretrainedLM, RunLM, cached, frozen
from rk_graphgpt.prompts import END, GRAPH, PATCH, START, Instruction
from rk_graphgpt.splice import splice

IMPOSSIBLE = -1e9
"""The score of an answer that a question does not have."""


AT_ONCE = 256
"""Sequences that are scored at once."""


class PromptGraphs(NamedTuple):
    """The graphs of a batch of prompts, one after the other.

    Attributes:
        x: Features of the nodes.
        edge_index: Edges, in places of the nodes.
        graph_index: The prompt of each node.
        graph_sizes: Nodes of each prompt.
        graph_keys: A number for each prompt's graphs, the same for equal content.
    """

    x: Float[Tensor, "nodes features"]
    edge_index: Int[Tensor, "2 edges"]
    graph_index: Int[Tensor, "nodes"]
    graph_sizes: Int[Tensor, "batch"]
    graph_keys: Int[Tensor, "batch"]


class AssistantOutputs(TypedDict):
    """Scores of the tokens of the assistant's turns, one row for each token, and which token each is."""

    token_logits: Float[Tensor, "answer_tokens vocab"]
    token_targets: Int[Tensor, "answer_tokens"]


class ChoiceOutputs(TypedDict):
    """The mean log-probability of the tokens of each possible answer."""

    logits: Float[Tensor, "batch choices"]


class GraphLLM(nn.Module):
    """Graph tokens for a frozen language model (GraphGPT, arXiv:2310.13023).

    A frozen graph encoder embeds the nodes of the graphs of a prompt, and ``z_i = W h_i + b`` takes the place of the
    i-th patch between the tokens of start and end. Only W, b and the two new tokens learn. Language model and encoder
    are not saved with the weights: a run keeps the runs that they come from, and of a pretrained model its name.

    The encoder's answer to a graph is computed once, by itself, and kept. Graphs are distinguished by their key, which
    the data computes from their content.

    Args:
        encoder: A run of `text-graph-clip`.
        llm: A run of `language-model` over words.
        pretrained: In its place a model that rk-lm loads: an alias, an id on the hub, or a folder.
        random_init: Takes a tiny random model of that family: the mechanics without the weights.
        graph_nodes: Tokens of `all` nodes of a graph, or of the `first` one alone.
        kept_megabytes: Encoded graphs are kept up to this size.

    Raises:
        ValueError: When there is not exactly one of `llm` and `pretrained`.

    Examples:
        model: {name: graph-llm, encoder: {recipe: graphgpt/grounding}, llm: {recipe: graphgpt/language}}

        >>> from types import SimpleNamespace  # in place of a run, as far as the model looks at it
        >>> from rk_graphgpt.clip import TextGraphClip
        >>> from rk_graphgpt.graph_transformer import GraphTransformer
        >>> clip = TextGraphClip(layer=GraphTransformer, num_features=16, vocab_size=9, context_length=8, embed_dim=8)
        >>> run = SimpleNamespace(learner=SimpleNamespace(model=clip), folder=SimpleNamespace(label="grounding"))
        >>> model = GraphLLM(encoder=run, pretrained="llama", random_init=True)
        >>> sorted(name for name, weight in model.named_parameters())
        ['end', 'projector.bias', 'projector.weight', 'start']
    """

    def __init__(
        self,
        *,
        encoder: Run,
        llm: Run | None = None,
        pretrained: str | None = None,
        random_init: bool = False,
        graph_nodes: Literal["all", "first"] = "all",
        kept_megabytes: Annotated[int, Ge(0)] = 256,
    ) -> None:
        super().__init__()
        clip = getattr(encoder.learner, "model", None)
        if not isinstance(clip, TextGraphClip):
            raise UserError(f"encoder must be a run of the model text-graph-clip, got one of {type(clip).__name__}")
        if (llm is None) == (pretrained is None):
            raise ValueError("give one language model: llm, a run, or pretrained, a name")
        language = PretrainedLM(pretrained, random_init) if pretrained is not None else RunLM(_given(llm))
        self.encoder_label = encoder.folder.label
        self.graph_nodes = graph_nodes
        self.projector = nn.Linear(clip.graph_encoder.embed_dim, language.d_model)
        mean = language.mean_embedding()
        self.start, self.end = nn.Parameter(mean.clone()), nn.Parameter(mean.clone())
        self._outside: tuple[FrozenLM, GraphEncoder] = (language, clip.graph_encoder)  # in a tuple: no submodules
        frozen(clip.graph_encoder)
        self._tokens = cached(language.encode)
        self._kept: dict[int, Float[Tensor, "nodes d"]] = {}
        self._room = kept_megabytes * 2**20

    @property
    def llm(self) -> FrozenLM:
        """The frozen language model."""
        return self._outside[0]

    @property
    def encoder(self) -> GraphEncoder:
        """The frozen graph encoder."""
        return self._outside[1]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Moves the frozen parts with the rest, and forgets what the encoder has answered elsewhere."""
        for part in (self.llm.module, self.encoder):
            part._apply(fn)
        self._kept.clear()
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's own

    def forward(
        self,
        *,
        x: Float[Tensor, "nodes features"],
        edge_index: Int[Tensor, "2 edges"],
        graph_index: Int[Tensor, "nodes"],
        graph_sizes: Int[Tensor, "batch"],
        graph_keys: Int[Tensor, "batch"],
        instructions_meta: Sequence[Instruction],
    ) -> AssistantOutputs:
        """Returns the scores of the tokens of the assistant's turns: the human turns count for nothing.

        Args:
            x: Features of the nodes of all graphs. The graphs of one prompt are one after the other.
            edge_index: Their edges.
            graph_index: The prompt of each node.
            graph_sizes: Nodes of each prompt.
            graph_keys: A number for each prompt's graphs, the same for equal content.
            instructions_meta: Prompts and answers.
        """
        graphs = PromptGraphs(x, edge_index, graph_index, graph_sizes, graph_keys)
        prompts, tokens = self._read(graphs, instructions_meta)
        answers = [(*self._tokens(each.answer), *self.llm.end) for each in instructions_meta]
        logits = self._scored(prompts, answers, torch.cat(tokens))
        targets = torch.tensor([token for answer in answers for token in answer], device=logits.device)
        return {"token_logits": logits, "token_targets": targets}

    def predict(
        self,
        *,
        x: Float[Tensor, "nodes features"],
        edge_index: Int[Tensor, "2 edges"],
        graph_index: Int[Tensor, "nodes"],
        graph_sizes: Int[Tensor, "batch"],
        graph_keys: Int[Tensor, "batch"],
        instructions_meta: Sequence[Instruction],
    ) -> ChoiceOutputs:
        """Returns for each possible answer the mean log-probability of its tokens: decoding restricted to these."""
        graphs = PromptGraphs(x, edge_index, graph_index, graph_sizes, graph_keys)
        prompts, tokens = self._read(graphs, instructions_meta)
        asked = [(row, self._tokens(choice)) for row, each in enumerate(instructions_meta) for choice in each.choices]
        most = max(len(each.choices) for each in instructions_meta)
        found = x.new_full((len(instructions_meta), most), IMPOSSIBLE)
        rows = [row for row, _ in asked]
        places = [place for each in instructions_meta for place in range(len(each.choices))]
        found[rows, places] = self._means(prompts, asked, tokens)
        return {"logits": found}

    def _means(
        self,
        prompts: Sequence[Sequence[int]],
        asked: Sequence[tuple[int, tuple[int, ...]]],
        graphs: Sequence[Float[Tensor, "nodes d"]],
    ) -> Float[Tensor, "answers"]:
        """Returns the mean log-probability of answers, each given with the row of its prompt.

        What is read is a prompt and an answer without its last token: of answers of one token, the prompt alone, once.
        """
        number: dict[tuple[int, tuple[int, ...]], int] = {}
        for row, answer in asked:
            number.setdefault((row, answer[:-1]), len(number))
        read = list(number)
        logits = []
        for part in range(0, len(read), AT_ONCE):
            chosen = read[part : part + AT_ONCE]
            answers = [(*begun, 0) for _, begun in chosen]  # the last token is only predicted: any will do
            here = torch.cat([graphs[row] for row, _ in chosen])
            logits.append(self._scored([prompts[row] for row, _ in chosen], answers, here))
        log_probs = torch.cat(logits).log_softmax(-1).split([len(begun) + 1 for _, begun in read])
        means = []
        for row, answer in asked:
            own = log_probs[number[row, answer[:-1]]]
            means.append(own[range(len(answer)), list(answer)].mean())
        return torch.stack(means)

    def _scored(
        self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], graphs: Float[Tensor, "nodes d"]
    ) -> Float[Tensor, "answer_tokens vocab"]:
        """Returns the scores with which the tokens of answers are predicted."""
        device = self.projector.weight.device
        lengths = [len(prompt) + len(answer) - 1 for prompt, answer in zip(prompts, answers, strict=True)]
        tokens = torch.zeros(len(prompts), max(lengths), dtype=torch.int64)
        places: list[int] = []
        for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            tokens[row, : lengths[row]] = torch.tensor([*prompt, *answer[:-1]])
            start = row * tokens.shape[1] + len(prompt) - 1
            places += range(start, start + len(answer))
        tokens = tokens.to(device)
        embedded = splice(self.llm.embed(tokens.clamp(min=0)), tokens, graphs, self.start, self.end)
        hidden = self.llm.hidden(embedded).flatten(0, 1)
        return self.llm.head(hidden[torch.tensor(places, device=device)])

    def _prompt(self, instruction: Instruction) -> list[int]:
        """Returns the tokens of a prompt, with `START`, a `PATCH` for each node, and `END` for each graph."""
        first, *rest = instruction.prompt.split(GRAPH)
        if len(rest) != len(instruction.nodes):
            raise UserError(f"the prompt has {len(rest)} places for graphs, and there are {len(instruction.nodes)}")
        found = list(self._tokens(first))
        for count, text in zip(instruction.nodes, rest, strict=True):
            patches = count if self.graph_nodes == "all" else min(count, 1)
            found += [START, *([PATCH] * patches), END, *self._tokens(text)]
        return found

    def _read(
        self, graphs: PromptGraphs, instructions: Sequence[Instruction]
    ) -> tuple[list[list[int]], list[Float[Tensor, "nodes d"]]]:
        """Returns each prompt, and the tokens of its graphs: ``W h_i + b`` of each node (GraphGPT, Sec. 3.2)."""
        prompts = [self._prompt(each) for each in instructions]
        encoded = self.encode(graphs)
        if self.graph_nodes == "first":
            encoded = [nodes[_firsts(each.nodes)] for nodes, each in zip(encoded, instructions, strict=True)]
        sizes = [len(nodes) for nodes in encoded]
        return prompts, list(self.projector(torch.cat(encoded)).split(sizes))

    @torch.no_grad()
    def encode(self, graphs: PromptGraphs) -> list[Float[Tensor, "nodes embed_dim"]]:
        """Returns the encoder's embeddings of the nodes of each prompt, those that are kept without a computation.

        Each prompt's graphs are encoded by themselves: so the numbers do not depend on the batch, to the last bit.
        """
        keys = graphs.graph_keys.tolist()
        missing = {key: row for row, key in enumerate(keys) if key not in self._kept}
        found = {key: self._kept[key] for key in keys if key in self._kept}
        if missing:
            sizes = graphs.graph_sizes.tolist()
            nodes = graphs.x.split(sizes)
            owner = graphs.graph_index[graphs.edge_index[0]]
            order = owner.argsort(stable=True)
            edges = graphs.edge_index[:, order].split(torch.bincount(owner, minlength=len(sizes)).tolist(), 1)
            starts = (graphs.graph_sizes.cumsum(0) - graphs.graph_sizes).tolist()
            for key, row in missing.items():
                found[key] = embedding = self.encoder(nodes[row], edges[row] - starts[row])
                self._keep(key, embedding)
        return [found[key] for key in keys]

    def _keep(self, key: int, embedding: Tensor) -> None:
        self._room -= (size := embedding.numel() * embedding.element_size())
        if self._room >= 0:
            self._kept[key] = embedding
        else:
            self._room += size


def _firsts(nodes: Sequence[int]) -> list[int]:
    """Returns the places of the first nodes of graphs, one after the other."""
    ends = list(accumulate(nodes))
    return [end - count for end, count in zip(ends, nodes, strict=True) if count]


def _given(run: Run | None) -> Run:
    if run is None:
        raise ValueError("llm is missing")
    return run
