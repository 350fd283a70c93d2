"""SortedNet (arXiv:2309.00255): one training for a family of nested networks."""

from rk import hookimpl


@hookimpl
def rk_models() -> dict[str, str]:
    return {"residual-mlp": "rk_sortednet.residual:ResidualMLP"}


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {"sorted": "rk_sortednet.trainer:Sorted"}


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {"subnet-table": "rk_sortednet.table:SubnetTable"}


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {
        "extract-subnet": "rk_sortednet.extract:ExtractSubnet",
        "subnet-budget": "rk_sortednet.budget:SubnetBudget",
    }
