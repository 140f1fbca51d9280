"""Files by which people work on the project: workflows, hooks, README."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HOOKS = ROOT / ".pre-commit-config.yaml"
pytestmark = pytest.mark.skipif(not (ROOT / ".github").is_dir(), reason="these sources hold no .github")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    surroundings = {**os.environ, "PYTHONUTF8": "1"}
    return subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False)


def _needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(module) is None, reason=f"needs {module}: pip install polypstream[test]")


@_needs("check_jsonschema")
def test_workflows_keep_to_their_schema() -> None:
    done = _run(
        sys.executable,
        *("-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"),
        *map(str, WORKFLOWS),
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_are_sound() -> None:
    """Expressions, permissions, credentials, versions of actions."""
    program = shutil.which("zizmor", path=sysconfig.get_path("scripts"))
    if program is None:
        pytest.skip("needs zizmor: pip install polypstream[test]")
    done = _run(program, "--offline", "--no-progress", str(ROOT / ".github" / "workflows"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_systems_and_versions_of_python_are_tested() -> None:
    said = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "setup.py").read_text(encoding="utf-8"))
    assert said
    matrix = _read(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == said
    assert [system.partition("-")[0] for system in matrix["system"]] == ["ubuntu", "macos", "windows"]


def test_there_are_workflows() -> None:
    assert {path.name for path in WORKFLOWS} >= {"tests.yml", "docs.yml"}


def test_workflows_run_scripts_of_the_project() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    scripts = re.findall(r"bash (scripts/\S+)", text)
    assert {"scripts/test.sh", "scripts/demo.sh"} <= set(scripts)
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


@_needs("pre_commit")
def test_hooks_are_valid() -> None:
    done = _run(sys.executable, "-m", "pre_commit", "validate-config", str(HOOKS))
    assert done.returncode == 0, done.stdout + done.stderr


@_needs("pre_commit")
def test_hooks_fetch_nothing_and_name_what_is_installed() -> None:
    hooks = [hook for repository in _read(HOOKS)["repos"] for hook in repository["hooks"]]
    assert {repository["repo"] for repository in _read(HOOKS)["repos"]} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    modules = [re.fullmatch(r"bash scripts/in_environment\.sh -m ([\w.]+).*", hook["entry"]) for hook in hooks]
    assert all(modules)
    missing = [module[1] for module in modules if module is not None and find_spec(module[1]) is None]
    assert missing == []


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    assert len(pages[0].read_text(encoding="utf-8").splitlines()) < 180
    for page in pages:
        targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        assert targets
        assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
