"""The page of a compared session, its plots and its picture."""

import re
import sys

import numpy as np
import pytest

from tickgate.sw.report import html, plots
from tickgate.sw.report.plots import POINTS_MAX, SymbolSeries, thin
from tickgate.sw.spec.errors import UserError

BUDGETS = {"min": {"feed": 4, "book": 12}, "max": {"feed": 4, "book": 20}}


def series(points=5_000, name="AB<C"):
    time_s = np.linspace(34_200.0, 57_600.0, points)
    spread = np.where(np.arange(points) % 7 == 0, 0, 100 * (1 + np.arange(points) % 3))
    shares = np.arange(points, dtype=np.int64)
    return SymbolSeries(name, 100, time_s, spread, shares, shares[::-1])


def summary(**changes):
    found = {
        "mismatches": 0, "messages": 12_345, "orders": 3, "rate_msgs_s": 6_789.4, "rejects": {"kill": 2, "stale": 0},
        "types": {"A": 12_000, "D": 345}, "coverage": {"valid": 0.99, "by_bit": {"gap": 0.01}},
        "latency_cycles": {"book/add": {"count": 5, "min": 1, "median": 2, "p99": 3, "max": 4}},
    }  # fmt: skip
    return found | changes


def bins():
    counts = np.zeros(64, dtype=np.int64)
    counts[[29, 30, 34]] = [900, 30, 1]
    return {html.ORDER_ROW: counts}


def test_thin_keeps_the_last_of_each_part():
    time_s = np.array([0.0, 0.1, 0.9, 1.0, 5.5, 9.9, 10.0])
    assert thin(time_s, 2).tolist() == [3, 6]
    assert thin(time_s, 7).tolist() == list(range(7))
    assert thin(np.zeros(9), 3).tolist() == [8]
    assert thin(np.zeros(0)).tolist() == []


def test_thin_bounds_the_points_of_a_long_curve():
    at = thin(np.sort(np.random.default_rng(1).random(100_000)))
    assert len(at) <= POINTS_MAX
    assert at[-1] == 99_999
    assert (np.diff(at) > 0).all()


def test_render_has_all_plots_and_tables():
    text = html.render("a <title>", summary(), bins(), [series(), series(name="DEF")], BUDGETS)
    assert "a &lt;title&gt;" in text
    assert "<title>a <title>" not in text
    assert text.count("<svg") == text.count("</svg>") == 4
    assert "0 mismatches" in text
    assert "12,345 messages" in text
    assert "99.0000%" in text
    assert re.search(r"<td>book/add</td><td>5</td><td>1</td><td>2</td><td>3</td><td>4</td>", text)
    assert len(text) < 1_000_000


def test_render_is_the_same_twice():
    pages = [html.render("t", summary(), bins(), [series()], BUDGETS) for _ in range(2)]
    assert pages[0] == pages[1]


def test_render_of_a_session_without_orders_says_so():
    text = html.render("t", summary(mismatches=2, rejects={"kill": 0}), {}, [], {})
    assert "<svg" not in text
    assert text.count("No order left.") == 2
    assert "No symbol was followed." in text
    assert "class='bad'>2 mismatches" in text


def test_series_with_an_empty_side_throughout_is_drawn():
    one = series(50)
    empty = SymbolSeries("X", 100, one.time_s, 0 * one.spread_e4, one.bid_qty, 0 * one.ask_qty)
    assert "<svg" in html.render("t", summary(), bins(), [empty], BUDGETS)


def test_picture_is_a_png():
    data = plots.picture([series()], bins()[html.ORDER_ROW], {"kill": 2}, BUDGETS)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(data) < 300_000


def test_plot_without_matplotlib_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match=r"pip install 'tickgate\[sim\]'"):
        html.render("t", summary(), bins(), [series()], BUDGETS)
