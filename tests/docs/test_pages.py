"""README, docs, cards: commands parse, options exist, links and anchors resolve, figures agree, prose stays short."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from span_export import serve
from span_export.cli import main as span_export
from span_keras import average, bulk, evaluate, train, upscale
from span_keras.checkpoints import bundled_names
from span_keras.checkpoints.load import BUNDLED
from span_keras.data.photos import BUNDLED_VAL

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [
    *(README, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(BUNDLED.glob("x*.md")),
]
DOCS = [page for page in PAGES if page.parent == ROOT / "docs"]
COMMANDS = {
    "span-export": span_export,
    "span-evaluate": evaluate.main,
    "span-train": train.main,
    "span-upscale": upscale.main,
    "span-bulk": bulk.main,
    "span_export.serve": serve.main,
    "span_keras.average": average.main,
    "span_keras.train": train.main,
}
"""By their name on the command line, or as ``python -m`` calls them."""
SCRIPTS = [
    path for folder in ("benchmarks", "scripts") for path in (ROOT / folder).rglob("*.*") if path.suffix != ".md"
]
OTHERS = {"--checkJs", "--test", "--help", "--no-deps"}
"""Options of programs that are not ours."""
MAX_WORDS = 900
"""Of README."""
MAX_PARAGRAPH, MAX_CARD_PARAGRAPH = 60, 90
"""Words; cards are short as a whole."""
MAX_PICTURE = 300_000

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(page), re.S | re.M)


def prose_of(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", text_of(page), flags=re.S | re.M)


def shown_commands(page: Path) -> list[list[str]]:
    """The command lines of a page's shell blocks as words, without settings of the environment before them."""
    lines = [line for block in blocks(page, "sh") for line in block.replace("\\\n", "").splitlines()]
    commands = [shlex.split(line.replace("$variant", "span"), comments=True) for line in lines]
    return [words[sum("=" in word for word in words[:1]) :] for words in commands if words]


def ours(words: list[str]) -> tuple[str, list[str]] | None:
    """Name and arguments of a command of this project; None for others."""
    name, arguments = (words[2], words[3:]) if words[:2] == ["python", "-m"] else (words[0], words[1:])
    return (name, arguments) if name in COMMANDS or name.startswith(("span-", "span_")) else None


SHOWN = [(page, *command) for page in PAGES for command in map(ours, shown_commands(page)) if command]


@pytest.mark.parametrize(("page", "name", "arguments"), SHOWN, ids=[f"{p.stem} {n} {' '.join(a)}" for p, n, a in SHOWN])
def test_shown_command_parses(page, name, arguments, tmp_path, monkeypatch):
    """Each command line is accepted as it stands, paths aside."""
    monkeypatch.chdir(tmp_path)
    for word in arguments:
        if word.endswith("/"):
            Path(word).mkdir(parents=True, exist_ok=True)
        elif re.search(r"\.(jpg|png|pth|safetensors|toml)$", word):
            Path(word).parent.mkdir(parents=True, exist_ok=True)
            Path(word).touch()
        elif re.fullmatch(r"[\w-]+(/x\d)?", word):
            Path(word).mkdir(parents=True, exist_ok=True)  # a folder, should it be an argument
    for recipe in Path().glob("*.toml"):
        recipe.write_text('description = ""')
    COMMANDS[name].make_context(name, list(arguments))


@every_page
def test_shown_scripts_exist_and_have_their_options(page):
    for words in shown_commands(page):
        if words[0] not in ("python", "node") or words[1].startswith("-"):
            continue
        script = ROOT / words[1]
        assert script in SCRIPTS, f"{page.name} shows {words[1]}"
        for option in (word for word in words[2:] if word.startswith("--")):
            assert re.search(rf'["/]{option}["/]', text_of(script)), f"{words[1]} has no {option}"


def test_every_command_is_shown():
    assert {name for _, name, _ in SHOWN} >= {"span-export", "span-evaluate", "span-train", "span-upscale", "span-bulk"}


@every_page
def test_options_that_prose_names_exist(page):
    known = {option for command in COMMANDS.values() for parameter in command.params for option in parameter.opts}
    known |= {option for command in COMMANDS.values() for p in command.params for option in p.secondary_opts}
    known |= {option for script in SCRIPTS for option in re.findall(r'["/](--[\w-]+)', text_of(script))} | OTHERS
    named = {option for code in re.findall(r"`([^`\n]+)`", prose_of(page)) for option in re.findall(r"--[\w-]+", code)}
    assert named <= known


@every_page
def test_links_and_anchors_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if target.startswith(("http:", "https:")):
            continue
        place, _, anchor = target.partition("#")
        linked = (page.parent / place).resolve() if place else page
        assert linked.exists(), f"{page.name} links {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name} links {target}"


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_files_that_are_named_exist(page):
    tracked = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.*") if "node_modules" not in path.parts]
    for name in re.findall(r"`([\w/.-]+/[\w.-]+\.(?:py|js|mjs|toml|json|yml|css|ipynb))`", prose_of(page)):
        if name.startswith(("models/", "model/", "out/")):
            continue  # what an export writes
        assert any(path == name or path.endswith(f"/{name}") for path in tracked), f"{page.name} names {name}"


def test_readme_is_short():
    assert len(text_of(README).split()) <= MAX_WORDS
    assert len(text_of(README).splitlines()) <= 130


@every_page
def test_paragraphs_are_short(page):
    limit = MAX_CARD_PARAGRAPH if page.parent == BUNDLED else MAX_PARAGRAPH
    for paragraph in re.split(r"\n\s*\n|\n(?=- |\d\. )", prose_of(page)):
        if not paragraph.lstrip().startswith("|"):
            words = len(re.sub(r"\]\([^)]*\)", "]", paragraph).split())
            assert words <= limit, paragraph


def test_readme_leads_everywhere():
    linked = {(ROOT / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)", text_of(README))}
    assert linked >= {*DOCS, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md", ROOT / "CITATION.cff"}


def test_networks_of_the_readme():
    """Every bundled network is there, with the size of its file."""
    listed = {}
    for names, sizes in re.findall(r"^\| (`bundled:.+?) \| [^|]+ \| ([\d., MB]+) \|", text_of(README), re.M):
        found = re.findall(r"`(bundled:[\w-]+)`", names)
        listed |= dict(zip(found, re.findall(r"(\d\.\d\d) MB", sizes), strict=True))
    expected = {f"bundled:{file.stem}": f"{file.stat().st_size / 1e6:.2f}" for file in BUNDLED.glob("x*.safetensors")}
    assert listed == expected


def test_results_agree_with_the_cards():
    """PSNR and SSIM of every bundled network are those of its own card, set by set."""
    found = dict(re.findall(r"^\| (bundled:[\w-]+) \| [\d,]+ \| (.+) \|$", text_of(ROOT / "docs" / "results.md"), re.M))
    assert found.keys() == set(bundled_names())
    for name, cells in found.items():
        card = text_of(BUNDLED / f"{name.removeprefix('bundled:')}.md")
        row = re.search(rf"^\| {name} \| (.+) \|$", card, re.M).group(1)
        assert cells == row


def test_every_benchmark_is_listed():
    listed = set(re.findall(r"benchmarks/(\w+/\w+\.m?\w+)", text_of(ROOT / "benchmarks" / "README.md")))
    files = {path for path in SCRIPTS if "benchmarks" in path.parts and "__pycache__" not in path.parts}
    assert listed == {path.relative_to(ROOT / "benchmarks").as_posix() for path in files}


def test_make_targets_exist():
    makefile = text_of(ROOT / "Makefile")
    named = {target for page in PAGES for target in re.findall(r"(?:^|`)make (\w+)", text_of(page), re.M)}
    assert named >= {"demo", "test"}
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.M), target


PYTHON = [(page, block) for page in PAGES for block in blocks(page, "python")]


@pytest.mark.parametrize(("page", "block"), PYTHON, ids=[page.stem for page, _ in PYTHON])
def test_shown_python_imports_what_exists(page, block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("span_"):
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_shown_recipes_are_some(tmp_path):
    from span_keras.runs.recipes import load
    from span_keras.runs.settings import resolve

    names = []
    for number, block in enumerate(blocks(ROOT / "docs" / "training.md", "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(block)
        stages = load(str(file)).stages
        names += [stage.name for stage in stages if resolve({"recipe": str(file)}, stage=stage)]
    assert names == ["start", "large-patches", ""]


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    photo = Image.open(BUNDLED_VAL / "cat.jpg").crop((140, 80, 188, 112))
    photo.save("photo.jpg")
    (block,) = blocks(README, "python")
    exec(compile(block, "README.md", "exec"), {})
    assert Image.open("photo_x4.png").size == (4 * photo.width, 4 * photo.height)


def test_pictures_are_small_and_shown():
    pictures = set((ROOT / "docs" / "images").iterdir())
    shown = {
        (page.parent / target).resolve() for page in PAGES for target in re.findall(r"!\[.+?\]\((.+?)\)", text_of(page))
    }
    assert pictures == shown
    assert all(path.stat().st_size < MAX_PICTURE for path in pictures)


def test_ablations_are_one_short_page():
    assert len(text_of(ROOT / "docs" / "ablations.md").splitlines()) <= 80


def test_citation_names_paper_and_software():
    yaml = pytest.importorskip("yaml")
    cited = yaml.safe_load(text_of(ROOT / "CITATION.cff"))
    import span_keras

    assert cited["version"] == span_keras.__version__
    assert cited["preferred-citation"]["identifiers"][0]["value"].endswith("2311.12770")


def test_workflow_runs_make_test():
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load(text_of(ROOT / ".github" / "workflows" / "test.yml"))
    (job,) = workflow["jobs"].values()
    assert "make test" in [step.get("run") for step in job["steps"]]
