"""Graphs: node, link and graph classification, layers and aggregators, published sets and a user's own tables."""

from rk import hookimpl

RK_TRIAL = {
    "cora-gcn": ("model.d_model=4",),
}


@hookimpl
def rk_data() -> dict[str, str]:
    return {
        "block-model": "rk_graphs.block_model:BlockModel",
        "graph-arrays": "rk_graphs.arrays:GraphArrays",
        "graph-families": "rk_graphs.families:GraphFamilies",
        "graph-lines": "rk_graphs.lines:GraphLines",
        "graph-tables": "rk_graphs.tables:GraphTables",
        "links": "rk_graphs.links:Links",
        "npz-graph": "rk_graphs.npz:NpzGraph",
        "planetoid": "rk_graphs.planetoid:Planetoid",
        "tu-graphs": "rk_graphs.tu:TUGraphs",
    }


@hookimpl
def rk_models() -> dict[str, str]:
    return {"deep-sets": "rk_graphs.model:DeepSets", "gnn": "rk_graphs.model:GNN"}


@hookimpl
def rk_layers() -> dict[str, str]:
    return {
        "attention-aggregator": "rk_graphs.aggregators:AttentionAggregator",
        "gat": "rk_graphs.layers:GAT",
        "gcn": "rk_graphs.layers:GCN",
        "gin": "rk_graphs.layers:GIN",
        "gru-aggregator": "rk_graphs.aggregators:GRUAggregator",
        "max-aggregator": "rk_graphs.aggregators:MaxAggregator",
        "mean-aggregator": "rk_graphs.aggregators:MeanAggregator",
        "message-passing": "rk_graphs.message_passing:MessagePassing",
        "node-mlp": "rk_graphs.layers:NodeMLP",
        "pna-aggregator": "rk_graphs.aggregators:PNAAggregator",
        "sage": "rk_graphs.layers:SAGE",
        "sum-aggregator": "rk_graphs.aggregators:SumAggregator",
    }


@hookimpl
def rk_metrics() -> dict[str, str]:
    return {
        "link-auc": "rk_graphs.link_metrics:AUC",
        "link-average-precision": "rk_graphs.link_metrics:AveragePrecision",
        "link-hits-10": "rk_graphs.link_metrics:HitsAt10",
        "link-mrr": "rk_graphs.link_metrics:MRR",
    }
