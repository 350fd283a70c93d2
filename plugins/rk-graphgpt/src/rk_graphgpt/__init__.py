"""GraphGPT: a frozen language model reads the nodes of a graph, through one linear projector.

Tang, Yang, Wei, Shi, Su, Cheng, Yin and Huang, "GraphGPT: Graph Instruction Tuning for Large Language Models", SIGIR
2024, arXiv:2310.13023:

    @inproceedings{tang2024graphgpt,
      title     = {{GraphGPT}: Graph Instruction Tuning for Large Language Models},
      author    = {Tang, Jiabin and Yang, Yuhao and Wei, Wei and Shi, Lei and Su, Lixin and Cheng, Suqi and
                   Yin, Dawei and Huang, Chao},
      booktitle = {Proceedings of the 47th International ACM SIGIR Conference},
      year      = {2024}
    }
"""

from rk import hookimpl

RK_TRIAL = {
    "node-quick": ("data.batch_size=4", "data.graph.num_nodes=100", "data.max_nodes=6"),
}

RK_EXEMPT = {
    "loss-shares-add-up:grounding": "the loss is over pairs: one example alone has none",
}


@hookimpl
def rk_data() -> dict[str, str]:
    return {
        "graph-documents": "rk_graphgpt.documents:GraphDocuments",
        "graph-instructions": "rk_graphgpt.instructions:GraphInstructions",
        "text-graph": "rk_graphgpt.text_graph:TextSBM",
        "wordnet-graph": "rk_graphgpt.wordnet:WordNet",
    }


@hookimpl
def rk_models() -> dict[str, str]:
    return {
        "graph-llm": "rk_graphgpt.graph_llm:GraphLLM",
        "text-graph-clip": "rk_graphgpt.clip:TextGraphClip",
    }


@hookimpl
def rk_layers() -> dict[str, str]:
    return {"graph-transformer": "rk_graphgpt.graph_transformer:GraphTransformer"}


@hookimpl
def rk_losses() -> dict[str, str]:
    return {
        "assistant-tokens": "rk_graphgpt.assistant:AssistantTokens",
        "text-graph-contrastive": "rk_graphgpt.contrastive:TextGraphContrastive",
    }


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {"graph-controls": "rk_graphgpt.controls:GraphControls"}


@hookimpl
def rk_exporters() -> dict[str, str]:
    return {"projector": "rk_graphgpt.projector:Projector"}
