"""Strain test: lists of candidates for a query, a sparse embedding beside dense weights, weighted terms, masks."""

from rk import hookimpl


@hookimpl
def rk_data():
    return {"word-lists": "rk_strain_pairs.data:WordLists"}


@hookimpl
def rk_models():
    return {"matcher": "rk_strain_pairs.model:Matcher"}


@hookimpl
def rk_losses():
    return {"listwise": "rk_strain_pairs.model:Listwise"}


@hookimpl
def rk_callbacks():
    return {"watch": "rk_strain_pairs.watch:Watch"}
