"""The log of a run: no step twice, whatever happens to the run."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from sparse_ir.errors import StorageError
from sparse_ir.training.history import LOG, VALIDATION, History


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def columns(path):
    """Column -> numbers by step, NaN where a cell is empty."""
    found = rows(path)
    return {name: [float(row[name] or "nan") for row in found] for name in found[0]}


def steps(path):
    return [int(row["step"]) for row in rows(path)]


def test_a_logged_step_is_a_row_with_the_known_columns_first(tmp_path):
    history = History(tmp_path / "run")
    history.log_step(10, {"kl": 0.5, "loss": 1.25, "epoch": 0.1, "seconds": 2.0})
    text = (tmp_path / "run" / LOG).read_text(encoding="utf-8")
    assert text == "step,epoch,loss,seconds,kl\n10,0.1,1.25,2.0,0.5\n"


def test_numbers_come_back_exactly_and_nan_is_an_empty_cell(tmp_path):
    history = History(tmp_path)
    history.log_step(1, {"loss": 0.1 + 0.2, "flops": math.nan, "grad": np.float32(0.5)})
    read = columns(tmp_path / LOG)
    assert read["loss"] == [0.1 + 0.2]
    assert read["grad"] == [0.5]
    assert math.isnan(read["flops"][0])
    assert rows(tmp_path / LOG)[0]["flops"] == ""


def test_a_new_column_is_empty_in_earlier_rows_and_a_missing_value_in_later_ones(tmp_path):
    history = History(tmp_path)
    history.log_step(1, {"loss": 3.0})
    history.log_step(2, {"loss": 2.0, "kl": 1.0})
    history.log_step(3, {"kl": 0.5})
    assert [(r["step"], r["loss"], r["kl"]) for r in rows(tmp_path / LOG)] == [
        ("1", "3.0", ""),
        ("2", "2.0", "1.0"),
        ("3", "", "0.5"),
    ]


def test_a_resumed_run_has_every_step_once(tmp_path):
    first = History(tmp_path)
    for step in range(1, 8):
        first.log_step(step, {"loss": float(step)})
    first.log_validation(0, {"ndcg@10": 0.1})
    first.log_validation(5, {"ndcg@10": 0.2})
    resumed = History(tmp_path)
    resumed.truncate(4)
    assert steps(tmp_path / LOG) == [1, 2, 3, 4]
    assert steps(tmp_path / VALIDATION) == [0]
    resumed.log_step(5, {"loss": 50.0})
    resumed.log_validation(5, {"ndcg@10": 0.3})
    assert columns(tmp_path / LOG)["loss"] == [1.0, 2.0, 3.0, 4.0, 50.0]
    assert columns(tmp_path / VALIDATION) == {"step": [0, 5], "ndcg@10": [0.1, 0.3]}


def test_a_run_started_again_without_a_checkpoint_replaces_its_rows(tmp_path):
    killed = History(tmp_path)
    killed.log_validation(0, {"ndcg@10": 0.1})
    for step in (10, 20, 30):
        killed.log_step(step, {"loss": 9.0})
    again = History(tmp_path)
    again.log_validation(0, {"ndcg@10": 0.1})
    again.log_step(10, {"loss": 8.0})
    assert steps(tmp_path / VALIDATION) == [0]
    assert columns(tmp_path / LOG)["loss"] == [8.0]


@pytest.mark.parametrize("torn", ["3", "3,0.", "3,0.5,1", '3,"0.5'])
def test_a_line_torn_by_a_crash_is_no_row(tmp_path, torn):
    history = History(tmp_path)
    history.log_step(1, {"loss": 1.0, "seconds": 1.0})
    history.log_step(2, {"loss": 1.0, "seconds": 2.0})
    with (tmp_path / LOG).open("a", encoding="utf-8") as file:
        file.write(torn)
    resumed = History(tmp_path)
    resumed.log_step(3, {"loss": 0.5, "seconds": 3.0})
    assert [(r["step"], r["loss"]) for r in rows(tmp_path / LOG)] == [
        ("1", "1.0"),
        ("2", "1.0"),
        ("3", "0.5"),
    ]


def test_truncating_before_anything_is_logged_leaves_nothing_behind(tmp_path):
    History(tmp_path).truncate(100)
    assert list(tmp_path.iterdir()) == []


def test_seconds_count_the_time_before_a_resume(tmp_path):
    now = [100.0]
    first = History(tmp_path, clock=lambda: now[0])
    now[0] = 107.0
    first.log_step(10, {"loss": 1.0})
    now[0] = 109.0
    first.log_step(20, {"loss": 1.0})
    resumed = History(tmp_path, clock=lambda: now[0])
    resumed.truncate(10)
    now[0] = 112.0
    resumed.log_step(20, {"loss": 1.0})
    assert columns(tmp_path / LOG)["seconds"] == [7.0, 10.0]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "run").write_text("a file, no folder", encoding="utf-8")
    with pytest.raises(StorageError, match=LOG):
        History(tmp_path / "run").log_step(1, {"loss": 1.0})
