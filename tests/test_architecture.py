"""The house's own laws: imports go one way, `import mrl` is light, the public names are the ones announced."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mrl

SOURCE = Path(mrl.__file__).parent

# Each may import only from itself and from those before it.
ORDER = (
    "errors lazy options nesting threads microkernel tapes sweep segments disk log card vectors maps heads promise "
    "evaluation retrieval advise classify nn encoders training baselines adapt databases report serve cli __main__"
).split()
WITH_TORCH = {"nn", "encoders", "training", "baselines", "adapt"}


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    """Dotted names of all modules imported anywhere in the tree, in functions too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def upward(path: Path, tree: ast.AST) -> list[str]:
    """What a module imports from rooms after its own."""
    own = ORDER.index(room(path))
    rooms = {name.split(".")[1] for name in imported(tree) if name.startswith("mrl.")}
    return sorted(r for r in rooms if r in ORDER and ORDER.index(r) > own)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_one_way(path):
    assert room(path) in ORDER, f"{path.name} has no place in the list of the house; give it one"
    assert upward(path, ast.parse(path.read_text())) == []


def test_the_one_way_rule_can_fail():
    assert upward(SOURCE / "card.py", ast.parse("def f():\n    from mrl.report import table")) == ["report"]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_torch_stays_in_its_rooms(path):
    names = imported(ast.parse(path.read_text()))
    if room(path) not in WITH_TORCH:
        assert not {name for name in names if name.split(".")[0] == "torch"}


def brought_in(statement: str) -> set[str]:
    """Which heavy packages a fresh interpreter holds after the statement."""
    heavy = "torch faiss numba matplotlib sklearn scipy pyarrow PIL transformers datasets accelerate"
    code = f"import sys\n{statement}\nprint(*(set({heavy.split()!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_mrl_is_light():
    assert brought_in("import mrl") == set()


def test_the_command_line_is_light_until_a_verb_needs_more():
    assert brought_in("import mrl.cli") == set()


def test_settings_are_light():
    assert brought_in("from mrl.training import Checkpoints, Opening, Rows, TrainSpec") == set()
    assert brought_in("from mrl.encoders import EncoderSpec") == set()


def test_training_brings_in_no_more_than_it_needs():
    assert brought_in("from mrl.training import train, embed, open_data") == {"torch", "PIL"}


def test_the_lightness_test_can_fail():
    assert brought_in("import faiss") >= {"faiss"}
    assert "torch" in brought_in("import mrl.nn")


def test_the_public_names_are_those_announced():
    public = {name for name in vars(mrl) if not name.startswith("_")}
    submodules = {room(path) for path in modules()}
    assert public - submodules - {"annotations", "Path", "TYPE_CHECKING"} == set(mrl.__all__)
