"""The report: runs as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import mimetypes
import re
from pathlib import Path

from rk.inside import lies_within, pictures
from rk.report.compare import MARK, table
from rk.report.curves import draw_inline, metric_names
from rk.report.labels import run_labels
from rk.report.summary import RunSummary
from rk.report.text import duration
from rk.values import PlainDict

PICTURES = (".png", ".svg", ".jpg", ".jpeg")


def render_page(runs: list[RunSummary]) -> str:
    """Returns the page: one run in full, or several compared, with each in full below.

    Raises:
        rk.UserError: When matplotlib is not installed.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("rk.report", "."), autoescape=True)
    several = len(runs) > 1
    first, labels = runs[0], run_labels(runs)
    values: PlainDict = {
        "title": f"{len(runs)} runs of {_names(runs)}" if several else first.title,
        "subtitle": "compared by rk" if several else first.folder.label,
        "paper": _paper(first.recipe.get("paper")),
        "runs": [{**_run(run), "label": label} for run, label in zip(runs, labels, strict=True)],
    }
    if several:
        values["comparison"] = table(runs)
        values["marked"] = any(cell.endswith(f" {MARK}") for row in values["comparison"] for cell in row)
        values["charts"] = [draw_inline(runs, metric) for metric in metric_names(runs)]
    return environment.get_template("page.html.j2").render(values)


def _names(runs: list[RunSummary]) -> str:
    names = list(dict.fromkeys(run.name for run in runs))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _run(run: RunSummary) -> PlainDict:
    recipe = run.folder.recipe
    return {
        "name": run.name,
        "path": run.folder.label,
        "error": run.info.get("error"),
        "facts": _facts(run),
        "judged": run.judged,
        "claims": bool(run.expect),
        "charts": [draw_inline([run], metric) for metric in metric_names([run])],
        "figures": [_picture(path) for path in pictures(run.folder.path, PICTURES)],
        "recipe": recipe.read_text(encoding="utf-8") if lies_within(recipe, run.folder.path) else "",
        "environment": _environment(run.info),
    }


def _facts(run: RunSummary) -> dict[str, str]:
    parameters, best = run.info.get("parameters"), run.info.get("best_step")
    facts = {
        "status": run.info.get("status"),
        "stopped": run.info.get("stop_reason"),
        "steps": _steps(run),
        "best step": None if best is None else f"{best:,}",
        "time": duration(run.seconds),
        "parameters": None if parameters is None else f"{parameters:,}",
        "device": run.info.get("device"),
        "started": (run.info.get("started") or "")[:16].replace("T", " "),
    }
    return {key: value for key, value in facts.items() if value}


def _steps(run: RunSummary) -> str | None:
    """Returns the steps that were done, and how many were planned where it is another number."""
    if run.step is None:
        return None
    planned = (run.recipe.get("fit") or {}).get("max_steps")
    return f"{run.step:,} of {planned:,}" if isinstance(planned, int) and planned != run.step else f"{run.step:,}"


def _environment(info: PlainDict) -> dict[str, str]:
    git, host = info.get("git"), info.get("host") or {}
    rows = {
        "command": " ".join(info.get("command") or ()),
        "machine": ", ".join(str(v) for v in (host.get("system"), host.get("machine")) if v),
        "cores": str(host.get("cores") or ""),
        "git": f"{git['commit'][:12]}{', with changes' if git['dirty'] else ''}" if git else "",
        **(info.get("versions") or {}),
    }
    return {key: value for key, value in rows.items() if value}


def _paper(text: str | None) -> dict[str, str] | None:
    """Returns the text and where it leads: arXiv numbers to arXiv, links to themselves."""
    if not text:
        return None
    arxiv = re.fullmatch(r"arXiv:(\S+)", text)
    link = f"https://arxiv.org/abs/{arxiv[1]}" if arxiv else text if text.startswith("https://") else None
    return {"text": text, "link": link or f"https://scholar.google.com/scholar?q={text}"}


def _picture(path: Path) -> dict[str, str]:
    kind = mimetypes.guess_type(path.name)[0] or "image/png"
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return {"name": path.stem, "source": f"data:{kind};base64,{content}"}
