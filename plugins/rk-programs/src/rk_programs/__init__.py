"""Programs: typed languages, terms as text, enumeration by size, library learning, and the programs of runs."""

from rk import hookimpl


@hookimpl
def rk_layers() -> dict[str, str]:
    return {
        "list-dsl": "rk_programs.list_dsl:ListDsl",
        "peano-dsl": "rk_programs.peano_dsl:PeanoDsl",
    }


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"programs": "rk_programs.analysis:ProgramsAnalysis"}
