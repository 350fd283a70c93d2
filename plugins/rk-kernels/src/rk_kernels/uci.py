"""Ten small regression sets of the UCI repository, with the splits of a public package."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from rk import files
from rk.sampling import rows
from rk_kernels.regression import RegressionTable, Rows
from rk_kernels.tables import Table, read_table

Name = Literal[
    "airfoil", "autompg", "concrete", "energy", "housing", "machine", "servo", "stock", "wine", "yacht"
]  # fmt: skip
HOME = (
    "https://raw.githubusercontent.com/treforevans/uci_datasets/"
    "f0737523712fe66a1640e4b980b927e8490b58eb/uci_datasets"
)  # fmt: skip
DATA, MASK = "data.csv.gz", "test_mask.csv.gz"
CHECKSUMS = {
    "airfoil": (
        "1cce82516ac9e564fba52f55d817eb147fc39085f5d7b958ad15b92f4207f23e",
        "dbba6121fb8f900350fe10d724b54faa2b67fcc7bfc3409cf7add717281609e4",
    ),
    "autompg": (
        "31989fbdd7083b901b9f02958581bce9f697e8c27bb3b0d1d0a1cd6d04d6b6c2",
        "4d5e96f4d752bc6effb50ebfc029856c71286abfd64c54e3ae50a8fb62792cb6",
    ),
    "concrete": (
        "542c5d9a0d301bdb47550280398dcbbe2fb8404631fc945de1ea6df9ade741c6",
        "fae0926c655e4f9fb5669d0dbf2226bd8ff7daaadbd376adb8f32eac6f752e7e",
    ),
    "energy": (
        "431b6df04243db782bbcd45e408373a654334496ebe5d9c9985ab2e826a39f51",
        "217df2cd4cabf818390e26a65384ea113c95b75bd687787a37ed2f87f28c9bb8",
    ),
    "housing": (
        "9f5b8a1cbc051465dcf10f4298aaccd8a596ea68de0db693159be6e7d07ccf12",
        "4c114b259566dd04b92befc3f22709d77fe1d5a9048cebe2452c50d57056c1ac",
    ),
    "machine": (
        "aae8f76a052a874dc45b363124515a5192d6ff7dafad04752e87683199babca4",
        "16125e6c73fdd8842ca9a3241e4e0e4fdd71b8099ec80b9e13f8c8e5848791d5",
    ),
    "servo": (
        "1c18994b739e50bf8dde9d5863680d8aa8ac8f71944adcde1368acac094be6b9",
        "ea63865e63b9146e3fc343b859ecbb9abc6dc233b3ec7999e615cdedc4963b8b",
    ),
    "stock": (
        "d196f315d7c19634f0f549edba569c6c0413e1602837344879dd4b5340470982",
        "d739dcfdcea3bfebd413c644ce27b193454db3cca70e8c33ac4cf88f0e335ea6",
    ),
    "wine": (
        "e2ca3346651ddb43fbc6a1355e70e74b7ce68f93059e04405e9cb749c219eae2",
        "df80c2a700eafb42230991dd7a94c08d47baea55dde125a0a0dcae08964d4559",
    ),
    "yacht": (
        "88ec8ea1a979ab0628a54392822c60b3699ea22541e912e83246f7d49f5adad1",
        "2f6d6b091146887589db66073317b8485e853d27e664b99b8b402ad57ba4a936",
    ),
}
"""SHA-256 of the rows and of the masks of the test rows."""


class UCI(RegressionTable):
    """A small regression set of the UCI repository (Dua and Graff 2019).

    Rows and splits are those of github.com/treforevans/uci_datasets.
    167 (servo) to 1599 rows (wine); housing is Boston's. A tenth is tested, and a tenth of the rest validated.

    The files hold features and target less their means (of yacht, the target's logarithm), as published there, without
    giving the means: rows that a run is to answer must be centred as those are. A row in plain units is far from all
    that was learned, and its answer means nothing. For your own rows there is `tabular`.

    Args:
        dataset: Which one.
        seed: Orders the training batches.
        split: Which of the ten splits; each row is tested in one of them. null: the last digit of `seed`, so that runs
            with other seeds have other splits.
        batch_size: Rows per batch; null: all of a split at once, as closed forms like it.
        val_fraction: Share of the rows that are not tested that is validated.
        train_limit: Trains on so many rows at most; null: on all.
        level: Probability of the intervals that are answered and drawn.

    Examples:
        data: {name: uci, dataset: yacht, split: 0}
    """

    def __init__(
        self,
        dataset: Name,
        seed: int,
        split: Annotated[int, Ge(0), Le(9)] | None = 0,
        batch_size: Annotated[int, Ge(1)] | None = None,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        train_limit: Annotated[int, Ge(1)] | None = None,
        level: Annotated[float, Gt(0), Lt(1)] = 0.9,
    ) -> None:
        super().__init__(seed, batch_size, level)
        self.dataset = dataset
        self.split = seed % 10 if split is None else split
        self.val_fraction = val_fraction
        self.train_limit = train_limit

    def _load(self) -> tuple[dict[str, Rows], None, None]:
        data, mask = (_verified(self.dataset, i) for i in (0, 1))
        tested = mask.values[:, self.split] > 0.5
        rest, test = data.values[~tested], data.values[tested]
        rest = rest[rows(len(rest), len(rest), 0, seed=self.split, shuffle=True)]
        n_val = max(1, round(self.val_fraction * len(rest)))
        parts = {"train": rest[n_val:][: self.train_limit], "val": rest[:n_val], "test": test}
        return {name: (part[:, :-1], part[:, -1:]) for name, part in parts.items()}, None, None


def _verified(dataset: str, which: int) -> Table:
    """Returns the rows (0) or the masks (1) of a set, downloaded unless they are there. Raises `rk.UserError`."""
    name = (DATA, MASK)[which]
    checksum = f"sha256:{CHECKSUMS[dataset][which]}"
    path = files.fetch(f"uci/{dataset}/{name}", f"{HOME}/{dataset}/{name}", checksum)
    if not files.is_intact(path, checksum):
        raise files.damaged(path)
    return read_table(path)
