"""Claims and what became of them: recipes trained beside their baselines, and the ledger that comes out."""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """The package itself is what `rk.reproduce` names once a part of it is imported: it can be called, too."""

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        from rk.reproduce.rows import reproduce

        return reproduce(*arguments, **keywords)


sys.modules[__name__].__class__ = _Callable
