"""The notebooks run as they stand, hold no outputs, and use the library rather than defining anything."""

import ast
import base64
import functools
import io
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
TIMEOUT_S = 600
"""For one cell, on a machine that does other things too."""
# The whole test may take longer than that, so that the cell is named which takes too long.
pytestmark = pytest.mark.timeout(2 * TIMEOUT_S)

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_is_a_comparison():
    assert "compare.ipynb" in {path.name for path in NOTEBOOKS}


@every_notebook
def test_holds_no_outputs(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    for cell in code_cells(path):
        assert cell.outputs == []
        assert cell.execution_count is None


@every_notebook
def test_defines_nothing(path):
    for cell in code_cells(path):
        found = [type(node).__name__ for node in ast.walk(ast.parse(cell.source)) if isinstance(node, DEFINITIONS)]
        assert not found, cell.source


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The function path -> outputs of a notebook, which is run once."""

    @functools.cache
    def outputs(path):
        notebook = nbformat.read(path, as_version=4)
        # Whatever it writes goes to a folder of its own. A cell that fails raises.
        folder = str(tmp_path_factory.mktemp(path.stem))
        patience = {"timeout": TIMEOUT_S, "startup_timeout": TIMEOUT_S, "iopub_timeout": TIMEOUT_S}
        NotebookClient(notebook, **patience, resources={"metadata": {"path": folder}}).execute()
        return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]

    return outputs


def pictures(outputs):
    return [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]


@every_notebook
def test_runs_and_shows_pictures(path, executed):
    assert pictures(executed(path))


def test_comparison_shows_every_crop_and_the_gain(executed):
    (path,) = (path for path in NOTEBOOKS if path.name == "compare.ipynb")
    outputs = executed(path)
    strips = [Image.open(io.BytesIO(base64.b64decode(data))) for data in pictures(outputs)]
    assert len(strips) == 3
    for strip in strips:
        assert strip.width > 4 * 256, "LR, bicubic, network, HR"
    (table,) = (o.data["text/markdown"] for o in outputs if "text/markdown" in o.get("data", {}))
    rows = [[float(n) for n in re.findall(r"\d+\.\d+", line)] for line in table.splitlines()[2:]]
    assert len(rows) == 2
    for psnr, ssim, network_psnr, network_ssim in rows:
        assert network_psnr > psnr + 0.5
        assert network_ssim > ssim
