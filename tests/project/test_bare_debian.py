"""The guide's own lines, carried out on a Debian that has nothing yet."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.container_images import copy_of_checkout, why_not, yard

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "<this repository>"
#: The guide is read by somebody who is not root; here there is nobody else, and a clone of somebody's folder.
_PRELUDE = """
sudo() { "$@"; }
export HOME=/root GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0="*"
"""

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def lines_of(title: str) -> str:
    """Give the first lines for a shell below a title of the guide."""
    text = (ROOT / "docs/install.md").read_text("utf-8")
    section = text[text.index(f"## {title}\n") :]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None and REPOSITORY in block[1]
    return block[1].replace(REPOSITORY, "file:///src")


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_the_guide_on_a_bare_debian_leads_to_the_demo_and_the_tests(tmp_path: Path) -> None:
    sources = copy_of_checkout(tmp_path / "sources")
    git = ["git", "-C", str(sources), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "all"]):
        subprocess.run([*git, *words], check=True)
    with yard() as opened:
        opened.make_base()
        ran = opened.on_bare_debian(f"{_PRELUDE}\n{lines_of('Linux by hand')}\nmake test", sources)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert re.search(r"(?m)^demo: ok code=[0-9]{8} ", ran.stdout)
    assert re.search(r"(?m)^=+ [0-9]+ passed", ran.stdout), ran.stdout[-3000:]
