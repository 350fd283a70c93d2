"""The published English and French files of Lake and Baroni, as `yoonkim/neural-qcfg` keeps them (MIT licence)."""

from __future__ import annotations

from rk_nsr.published import read_published
from rk_nsr.translation_grammar import Frame, translated

HOME = "https://raw.githubusercontent.com/yoonkim/neural-qcfg/c5a2ea05e3108f83e5833f8d0bc368638bab6c9a/data/MT"
SHA256 = {
    "train.en": "9098276911685f6b1c4280df8967272590bb69ee9255d44c3d7066a9fc1d1575",
    "train.fr": "77512f06a4d501bd54896aa4f67fcd76500923cbed61845387836424c05d7014",
    "dev.en": "8fb4b9c523a2b7bfb85c920efec261ae2318a2c80a9516079de8282d251e4629",
    "dev.fr": "55b001762615cbd5b52b71343371f40bd5e61cb17d332746b9da1824e42e42cd",
    "test-daxy.en": "e751fbd04a0189c50633606d3a5ee08a4407089b1c7ae8c8108595ac7ae28e0c",
    "test-daxy.fr": "bd04beb9899604d2189be1793841a67378169ec2536cf784bcb4cfabc247ff75",
}
"""File -> checksum of its text."""


def read_part(name: str) -> list[tuple[Frame, str]]:
    """Returns what the sentences of ``train``, ``dev`` or ``test-daxy`` say, with the French of the adjective.

    Sentences of another form are left out, English or French: "i m cold", "j ai froid".

    Raises:
        UserError: When a file cannot be had, or is another one.
    """
    english, french = (
        read_published(f"neural_qcfg/{file}", f"{HOME}/{file}", SHA256[file]) for file in (f"{name}.en", f"{name}.fr")
    )
    found = [translated(*lines) for lines in zip(english, french, strict=True)]
    return [one for one in found if one is not None]
