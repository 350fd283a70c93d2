"""Project files name existing files, targets, versions and commands."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from rk.cli import COMMANDS

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(p for p in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if p.name != "config.yml")
PAGES = sorted((ROOT / ".github").glob("*.md"))
PINNED = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))


def read(path: Path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow: Path) -> list[dict]:
    return [step for job in read(workflow)["jobs"].values() for step in job["steps"]]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_make_alone_lists_every_target_and_runs_none():
    outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    printed = subprocess.run(["make"], cwd=ROOT, env=outside, capture_output=True, text=True, check=True).stdout
    listed = [line.split()[1] for line in printed.splitlines()]
    assert sorted(listed) == sorted(targets()) and all(len(line.split()) > 3 for line in printed.splitlines())


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_scripts_and_targets_that_there_are_and_may_only_read(workflow):
    assert read(workflow)["permissions"] == {"contents": "read"}
    run = " ".join(step.get("run", "") for step in steps(workflow))
    assert all((ROOT / path).is_file() for path in re.findall(r"\.ci/[\w.]+", run))
    assert set(re.findall(r"\bmake (\w+)", run)) <= targets()


def test_only_the_job_that_publishes_may_ask_for_an_identity_and_it_runs_nothing_of_the_repository():
    jobs = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    publishing = [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})]
    assert publishing == ["publish"] and jobs["publish"]["environment"] == "pypi"
    assert all("run" not in step and "checkout" not in step["uses"] for step in jobs["publish"]["steps"])


def test_continuous_integration_runs_each_version_of_python_that_is_claimed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    claimed = {c.rpartition(" ")[2] for c in project["classifiers"] if "Python :: 3." in c}
    jobs = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    assert set(jobs["test"]["strategy"]["matrix"]["python"]) == claimed
    resolved = {j["resolution"]: j["python"] for j in jobs["ranges"]["strategy"]["matrix"]["include"]}
    order = sorted(claimed, key=lambda v: int(v.partition(".")[2]))
    assert resolved == {"lowest-direct": order[0], "highest": order[-1]}
    assert project["requires-python"] == f">={order[0]}"


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.name)
def test_an_issue_form_asks_for_what_is_needed_to_begin(form):
    fields = {field["id"]: field for field in read(form)["body"]}
    required = {name for name, field in fields.items() if field.get("validations", {}).get("required")}
    assert required >= ({"what", "report"} if form.name == "bug.yml" else {"paper", "claims"})


def test_the_form_for_bugs_asks_for_the_output_of_a_command_that_there_is():
    (report,) = (f for f in read(ROOT / ".github/ISSUE_TEMPLATE/bug.yml")["body"] if f["id"] == "report")
    assert report["attributes"]["label"].endswith("rk bug") and "bug" in COMMANDS


def test_hooks_before_a_commit_have_the_versions_of_continuous_integration():
    for repository in read(ROOT / ".pre-commit-config.yaml")["repos"]:
        for hook in repository["hooks"]:
            tool = hook["id"].partition("-")[0]
            assert repository["repo"] == "local" or repository["rev"] == f"v{PINNED[tool]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_of_the_pages_for_contributors_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    assert {*re.findall(r"\bmake ([a-z]+)\b", text)} <= targets()
    assert all((ROOT / path).is_file() for path in re.findall(r"(?<![\w/])\.ci/[\w.]+", text))
