"""The training curve, looked at through matplotlib's own objects and the files it leaves."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree

import pytest

from sparse_ir.errors import InputError
from sparse_ir.evaluating.charts import training_curve

LOG = "step,epoch,loss,terms_query,terms_document\n"
VALIDATION = "step,ndcg@10,mrr@10,terms_query,flops\n"
TARGETS = {"query": 24.0, "document": 120.0}


@pytest.fixture
def history(tmp_path):
    rows = [f"{s},0.1,{9 / s:.3f},{24 + 900 / s},{120 + 9000 / s}\n" for s in range(10, 500, 10)]
    (tmp_path / "training-log.csv").write_text(LOG + "".join(rows), encoding="utf-8")
    metrics = "0,0.1,0.2,30,9\n250,0.4123,0.5,24,2\n490,0.3,0.6,24,2\n"
    (tmp_path / "validation.csv").write_text(VALIDATION + metrics, encoding="utf-8")
    return tmp_path


def words(svg):
    """All text of a picture, in order."""
    return [e.text for e in ElementTree.parse(svg).iter() if e.tag.endswith("}text") and e.text]


def test_the_curve_is_an_svg_and_a_png_beside_it(history):
    svg, png = training_curve(history, history / "curve.png")
    assert (svg, png) == (history / "curve.svg", history / "curve.png")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")


def test_it_says_what_is_wanted_what_was_reached_and_where_it_was_best(history):
    svg, _ = training_curve(history, history / "curve", target_terms=TARGETS)
    said = words(svg)
    assert "queries (wanted: 24, dashed)" in said
    assert "documents (wanted: 120, dashed)" in said
    assert "best: 0.4123 at step 250" in said
    assert {"Training loss", "Terms per text", "ndcg@10", "Step"} <= set(said)


def test_another_metric_can_be_drawn(history):
    svg, _ = training_curve(history, history / "curve", metric="mrr@10")
    assert "best: 0.6000 at step 490" in words(svg)
    with pytest.raises(InputError, match=r"validation.csv: has no column map. It has ndcg@10, mrr"):
        training_curve(history, history / "curve", metric="map")


def test_a_run_without_validation_has_two_panels(history):
    (history / "validation.csv").unlink()
    said = words(training_curve(history, history / "curve")[0])
    assert "Validation" not in said
    assert {"Loss", "Sparsity"} <= set(said)


def test_empty_cells_and_texts_without_terms_are_gaps(tmp_path):
    rows = "1,0,,0,0\n2,0,1.5,0,40\n3,0,1.2,,30\n"
    (tmp_path / "training-log.csv").write_text(LOG + rows, encoding="utf-8")
    said = words(training_curve(tmp_path, tmp_path / "curve")[0])
    assert "documents" in said
    assert "queries" not in said  # never had a term: there is nothing to draw


def test_one_row_is_enough(tmp_path):
    (tmp_path / "training-log.csv").write_text(LOG + "1,0,2.5,30,90\n", encoding="utf-8")
    (tmp_path / "validation.csv").write_text("step,ndcg@10\n0,0.5\n", encoding="utf-8")
    assert "best: 0.5000 at step 0" in words(training_curve(tmp_path, tmp_path / "curve")[0])


def test_the_same_numbers_give_the_same_files(history):
    first = [path.read_bytes() for path in training_curve(history, history / "one")]
    second = [path.read_bytes() for path in training_curve(history, history / "two")]
    assert first == second


@pytest.mark.parametrize("text", ["", LOG])
def test_a_log_without_rows_is_an_error(tmp_path, text):
    (tmp_path / "training-log.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="no rows yet"):
        training_curve(tmp_path, tmp_path / "curve")


def test_a_folder_without_a_log_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"training-log\.csv: no such file"):
        training_curve(tmp_path, tmp_path / "curve")


def test_a_cell_that_is_no_number_is_named(tmp_path):
    (tmp_path / "training-log.csv").write_text("step,loss\n1,much\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2: loss is 'much'"):
        training_curve(tmp_path, tmp_path / "curve")


def test_drawing_leaves_matplotlib_as_it_was(history):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    training_curve(history, history / "curve")
    assert dict(mpl.rcParams) == before


def test_neither_matplotlib_at_import_nor_pyplot_ever(history):
    program = (
        "import sys; from pathlib import Path; from sparse_ir.evaluating import charts; "
        "assert 'matplotlib' not in sys.modules; "
        f"charts.training_curve(Path({str(history)!r}), Path({str(history / 'c')!r})); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
