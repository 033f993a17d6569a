"""Plots say in words what they show, and the words travel with the picture."""

import base64
import io

import nbclient
import nbformat
import pytest
from matplotlib.figure import Figure
from PIL import Image

from atlas_lab import load_quakes, plot_rate, to_frame
from atlas_lab.plots.drawing import DescribedFigure, describe, finish, say_empty
from tests.plot_builders import new_axes

WORDS = "12 events < 2 s & no more."


def drawn(words=WORDS, figure=None):
    return finish((figure or DescribedFigure()).subplots(), "Title", words)


def test_a_plot_is_described_and_so_is_its_figure():
    """Words come from axes, from a figure of one plot, and from one of several in the order of its plots."""
    ax = drawn()
    assert describe(ax) == describe(ax.figure) == WORDS
    assert WORDS in repr(ax)
    figure = Figure()
    for place, one in enumerate(figure.subplots(2)):
        finish(one, "Title", f"Sentence {place}.")
    assert describe(figure) == "Sentence 0. Sentence 1."


def test_what_is_no_plot_is_refused():
    """The error says what to pass, and that nothing was drawn."""
    with pytest.raises(TypeError, match="plot must be Axes or a Figure.*got list"):
        describe([])
    with pytest.raises(ValueError, match="nothing is drawn on it yet"):
        describe(new_axes())


def test_pictures_carry_the_words():
    """A screen reader, or whoever finds the file, reads what it shows; given metadata is kept."""
    figure = drawn().figure
    for kind, given in (("png", {}), ("png", {"metadata": {"Author": "me"}})):
        picture = io.BytesIO()
        figure.savefig(picture, format=kind, **given)
        text = Image.open(picture).text
        assert text["Description"] == WORDS
        assert text.get("Author") == given.get("metadata", {}).get("Author")
    for kind, expected in (("svg", b"12 events &lt; 2 s &amp; no more."), ("pdf", b"(12 events < 2 s & no more.)")):
        picture = io.BytesIO()
        figure.savefig(picture, format=kind)
        assert expected in picture.getvalue()


def test_pictures_without_a_place_for_words_are_saved_too(tmp_path):
    """The format is that of the file's name; a figure without a plot is one like others."""
    drawn().figure.savefig(tmp_path / "plot.jpg")
    DescribedFigure().savefig(tmp_path / "empty.png")
    with Image.open(tmp_path / "plot.jpg") as plot, Image.open(tmp_path / "empty.png") as empty:
        assert plot.format == "JPEG"
        assert "Description" not in empty.text


def test_an_empty_plot_says_why():
    """Instead of an empty box there is a reason, in the picture and in words."""
    ax = say_empty(new_axes(), "Errors", "no calls")
    assert [text.get_text() for text in ax.texts] == ["no calls"]
    assert describe(ax) == "Errors: no calls."


def test_notes_stand_below_the_axis_and_inside_the_picture():
    """What was left out is read with the plot, whatever else stands there."""
    ax = DescribedFigure(figsize=(4, 2), layout="constrained").subplots()
    ax.set_xlabel("time")
    finish(ax, "Title", WORDS, ["one left out", "another one with many words that do not fit on a line"])
    ax.figure.draw_without_rendering()
    note = ax.texts[-1].get_window_extent()
    assert note.y1 < ax.xaxis.label.get_window_extent().y0
    assert ax.figure.bbox.x0 <= note.x0 and note.x1 <= ax.figure.bbox.x1
    assert ax.figure.bbox.y0 <= note.y0


def test_a_notebook_shows_a_plot_once_with_its_words():
    """In a notebook the words are the plain text, which nbval compares, and the alternative text of the picture."""
    words = describe(plot_rate(to_frame(load_quakes()), ax=new_axes()))
    setup = "from atlas_lab import load_quakes, overview, plot_rate, to_frame\nquakes = to_frame(load_quakes())"
    notebook = nbformat.v4.new_notebook()
    sources = [
        setup,
        "import matplotlib.pyplot\noverview(quakes)",
        "plot_rate(quakes);",
        "overview(quakes)",
        "overview(quakes);",
    ]
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    _, before, plot, after, quiet = ([output for output in cell.outputs if "data" in output] for cell in notebook.cells)
    for (shown,) in (before, plot, after):
        assert shown["data"]["text/plain"] == shown["metadata"]["image/png"]["alt"]
        assert Image.open(io.BytesIO(base64.b64decode(shown["data"]["image/png"]))).width > 500
    assert plot[0]["data"]["text/plain"] == words
    assert words in before[0]["data"]["text/plain"] == after[0]["data"]["text/plain"]
    assert quiet == []
