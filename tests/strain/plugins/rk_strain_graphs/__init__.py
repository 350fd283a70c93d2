"""Strain test: flat graphs of several sizes, a layer in a slot of its own protocol."""

from rk import hookimpl


@hookimpl
def rk_data():
    return {"rings": "rk_strain_graphs.data:Rings"}


@hookimpl
def rk_models():
    return {"graph-net": "rk_strain_graphs.model:GraphNet"}


@hookimpl
def rk_layers():
    return {"sum-layer": "rk_strain_graphs.model:SumLayer"}
