"""Figure 7's report: the tables of every network, and the gain of one over another."""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.evaluate.clicks import ClickResults
from sonotrace_models.evaluate.report import (
    ClicksConfig,
    chosen_objects,
    dice_limits,
    draw_clicks,
    evaluate_segmenters,
    judged_by,
    refuse_other_results,
)
from sonotrace_models.nets.sonosam import SonoSamLite


def results(by_object: list[float], sets: str) -> ClickResults:
    """Results for one-letter sets, with the same Dice at every click and with the box."""
    dice = np.array(by_object)
    return ClickResults([(at, 1) for at in range(len(dice))], list(sets), np.tile(dice[:, None], (1, 10)), dice)


def test_a_gain_counts_each_set_once_and_each_object_against_itself() -> None:
    before = results([0.2, 0.4, 0.6, 0.9, 0.5], "AAABB")
    after = results([0.3, 0.5, 0.7, 0.9, 0.9], "AAABB")
    gain, error = after.gain_over(before)["3"]
    assert gain == pytest.approx((0.1 + 0.2) / 2)
    # A's gains are equal for all objects; B's two gains, 0 and 0.4, have a standard error of 0.2.
    assert error == pytest.approx(1.96 * 0.2 / 2)
    assert after.gain_over(before)["box"] == after.gain_over(before)["10"]
    assert before.gain_over(before)["1"] == (0, 0)


def test_the_error_of_a_gain_is_nan_for_one_object() -> None:
    gain, error = results([0.5], "A").gain_over(results([0.4], "A"))["1"]
    assert gain == pytest.approx(0.1)
    assert np.isnan(error)


def test_gains_on_different_objects_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"different objects \(2 and 3\)"):
        results([0.5, 0.5], "AA").gain_over(results([0.5, 0.5, 0.5], "AAA"))


def test_networks_are_reported_side_by_side(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [tmp_path / name / "best.pt" for name in ("first", "second")]
    for seed, path in enumerate(runs):
        torch.manual_seed(seed)
        path.parent.mkdir()
        torch.save(SonoSamLite().state_dict(), path)
    config = ClicksConfig(packed, runs, split="test", most_per_set=2, out=tmp_path / "out")
    evaluated = evaluate_segmenters(config)
    assert list(evaluated) == ["first", "second"]
    assert evaluated["first"].table["DISCS"]["objects"] == 2
    report = json.loads((tmp_path / "out" / "test" / "clicks.json").read_text())
    assert (report["judged"]["split"], report["judged"]["objects"]) == ("test", 2)
    assert np.array(report["networks"]["second"]["by_click"]["DISCS"]) == pytest.approx(
        evaluated["second"].results.by_click.mean(0)
    )
    assert (tmp_path / "out" / "test" / "clicks.png").stat().st_size > 1000
    printed = capsys.readouterr().out
    assert "second, test, n = 2" in printed
    assert "mean         2 " in printed
    gain, error = evaluated["second"].results.gain_over(evaluated["first"].results)["3"]
    assert f"3 {gain:+.4f} ± {error:.4f}" in printed

    same = ClicksConfig(packed, [runs[0], runs[0]], split="test", out=tmp_path / "twice")
    with pytest.raises(DataError, match="two networks named first"):
        evaluate_segmenters(same)


def test_results_of_another_evaluation_are_not_overwritten(packed: Path, tmp_path: Path) -> None:
    runs = [tmp_path / name / "best.pt" for name in ("first", "second")]
    for path in runs:
        path.parent.mkdir()
        path.write_bytes(path.parent.name.encode())
    pack, out = Pack(packed), tmp_path / "out"

    def judged(run: Path, **options: Any) -> dict[str, Any]:
        config = ClicksConfig(packed, [run], out=out, **options)
        return judged_by(config, chosen_objects(pack, config))

    path = out / "val" / "clicks.json"
    refuse_other_results(path, judged(runs[0]))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"judged": judged(runs[0]), "networks": {}}))
    refuse_other_results(path, judged(runs[0]))
    for other, what in (
        (judged(runs[1]), "different sha256"),
        (judged(runs[0], most_per_set=1), "different objects, most_per_set"),
        (judged(runs[0], split="test"), "different split"),
    ):
        with pytest.raises(DataError, match=f"{what}: give another --out, or --overwrite"):
            refuse_other_results(path, other)
    # The same run, trained further.
    runs[0].write_bytes(b"more")
    with pytest.raises(DataError, match="different sha256"):
        evaluate_segmenters(ClicksConfig(packed, [runs[0]], out=out))
    path.write_text(json.dumps({"SonoSAMLite": {}}))
    with pytest.raises(DataError, match="another evaluation"):
        refuse_other_results(path, judged(runs[0]))


def test_no_curve_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    low = results([0.003, 0.5], "AB")
    low.with_box = np.array([0.9, 0.31])
    for found, expected in ((low, -0.01), (results([0.93, 0.97], "AB"), 0.89), (results([1.0], "A"), 0.94)):
        assert dice_limits({"net": found})[0] == pytest.approx(expected)
    seen: list[Any] = []
    monkeypatch.setattr(plt, "close", seen.append)
    draw_clicks({"net": low}, tmp_path / "clicks.png", "val")
    (figure,) = seen
    shown = [axis for axis in figure.axes if axis.lines]
    assert [axis.get_title() for axis in shown] == ["A, n = 1", "B, n = 1"]
    for axis in shown:
        bottom, top = axis.get_ylim()
        values = np.concatenate([line.get_ydata() for line in axis.lines])
        assert bottom < values.min()
        assert values.max() < top
