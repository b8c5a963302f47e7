import io

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon
from matplotlib.text import Text
from scipy.signal import welch
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from ecgcourse import metrics, plots
from ecgcourse.errors import DataError, SettingError
from ecgcourse.recipe import Task
from ecgcourse.records.ptbxl import CLASSES, LEADS

MM = 25.4  # per inch
FS = 100
RNG = np.random.default_rng(0)
RECORD = RNG.normal(0, 0.3, (12, 1000))
SIGNALS = RNG.random((3, 1000))
IMAGES = RNG.integers(0, 256, (9, 64, 64)).astype(np.uint8)
Y_TRUE = (RNG.random((200, 4)) < 0.4).astype(int)
Y_PROB = np.clip(0.3 * Y_TRUE + 0.7 * RNG.random((200, 4)), 0, 1)
TABLE = np.array([[30, 10, 20, 1140], [1, 3, 0, 1196], [600, 0, 300, 300], [5, 5, 119, 1071]])
HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3, 4],
        "train_loss": [1.0, 0.8, 0.6, 0.5],
        "val_loss": [1.1, 0.9, 0.7, 0.75],
        "sensitivity": [0.4, 0.5, 0.6, 0.65],
        "specificity": [0.9, 0.85, 0.8, 0.8],
        "auroc": [0.6, 0.7, 0.8, 0.81],
    }
)
MATRIX = RNG.integers(0, 300, (71, 71))
MS, BOUNDS = np.arange(-300, 500, 2), (-190, -90, -45, 45, 360)
WAVES = {"P": (-140, 0.15, 18), "Q": (-30, -0.15, 4), "R": (0, 1.2, 9), "S": (30, -0.2, 4), "T": (250, 0.4, 40)}
BEAT = sum(height * np.exp(-(((MS - at) / width) ** 2) / 2) for at, height, width in WAVES.values())
COUNTED = pd.DataFrame(
    [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]], columns=CLASSES, dtype=bool, index=[7, 8, 9, 11]
)

FIGURES = {
    "ecg_paper": lambda: plots.ecg_paper(RECORD, FS, title="a record", synthetic=True),
    "leads": lambda: plots.leads(SIGNALS, FS, title="three leads"),
    "attribution": lambda: plots.attribution(SIGNALS, SIGNALS - 0.5, FS, mask=SIGNALS > 0.9, title="explained"),
    "field_image": lambda: plots.field_image(IMAGES[0], SIGNALS[0], FS, title="an image"),
    "nine_images": lambda: plots.nine_images(IMAGES, SIGNALS, FS, title="nine images"),
    "leads_and_images": lambda: plots.leads_and_images(SIGNALS, IMAGES, FS, title="a sheet", synthetic=True),
    "training_curves": lambda: plots.training_curves(HISTORY),
    "roc": lambda: plots.roc(Y_TRUE, Y_PROB, title="curves"),
    "precision_recall": lambda: plots.precision_recall(Y_TRUE, Y_PROB, title="curves"),
    "reliability": lambda: plots.reliability(Y_TRUE, Y_PROB, title="reliability"),
    "decision_curve": lambda: plots.decision_curve(Y_TRUE, Y_PROB, title="net benefit"),
    "confusion_tables": lambda: plots.confusion_tables(TABLE, title="tables"),
    "confusion_matrix": lambda: plots.confusion_matrix(MATRIX[:6, :6], names(6), title="matrix"),
    "class_counts": lambda: plots.class_counts(COUNTED, title="counts"),
    "spectrum": lambda: plots.spectrum(SIGNALS, FS, band=(1, 45), title="spectrum"),
    "conduction": lambda: plots.conduction(BEAT, MS, BOUNDS, title="a beat"),
}


def names(n_classes):
    """Names of which every third is long."""
    return tuple(f"class no. {k}, with a long name" if k % 3 == 2 else f"C{k}" for k in range(n_classes))


def many(n_classes):
    """Labels and probabilities of K classes."""
    y_true = (np.random.default_rng(1).random((300, n_classes)) < 0.4).astype(int)
    return y_true, np.clip(0.3 * y_true + 0.7 * np.random.default_rng(2).random(y_true.shape), 0, 1)


def inside(figure):
    """Whether all that is drawn lies on the figure."""
    figure.draw_without_rendering()
    box, (across, up) = figure.get_tightbbox(), figure.get_size_inches()
    return min(box.x0, box.y0) >= -0.01 and box.x1 <= across + 0.01 and box.y1 <= up + 0.01


def texts(ax):
    return {text.get_text() for text in ax.texts}


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_clips_no_text_leaves_none_open_and_looks_the_same_in_any_style(name):
    own = plt.figure()
    try:
        figure = FIGURES[name]()
        assert isinstance(figure, Figure) and plt.get_fignums() == [own.number]
    finally:
        plt.close(own)
    plain = io.BytesIO()
    figure.savefig(plain, format="rgba")
    across, up = figure.get_size_inches() * figure.dpi
    for ax in figure.axes:
        for label in (ax.title, ax.xaxis.label, ax.yaxis.label):
            if label.get_text():
                box = label.get_window_extent()
                assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= across and box.y1 <= up, label.get_text()
    with plt.style.context(["dark_background", {"font.size": 20, "lines.linewidth": 5}]):
        figure = FIGURES[name]()
    styled = io.BytesIO()
    figure.savefig(styled, format="rgba")
    assert styled.getvalue() == plain.getvalue()


def test_a_failed_drawing_leaves_no_figure_open(monkeypatch):
    def fail(*_):
        raise RuntimeError("halfway")

    monkeypatch.setattr(plots, "_draw_two_by_two", fail)
    with pytest.raises(RuntimeError, match="halfway"):
        plots.confusion_tables(TABLE)
    assert plt.get_fignums() == []


# --- ECG paper ---


def paper_traces(record, fs=FS):
    """The axes, and the lines by label; the unlabelled ones are calibration pulses."""
    ax = plots.ecg_paper(record, fs).axes[0]
    return ax, [line for line in ax.lines if line.get_label() in LEADS]


def test_paper_is_true_to_scale():
    figure = plots.ecg_paper(RECORD, FS)
    ax = figure.axes[0]
    across, up = figure.get_size_inches() * MM
    np.testing.assert_allclose([*ax.get_xlim(), *ax.get_ylim()], [0, across, 0, up])
    np.testing.assert_allclose(ax.get_position().bounds, [0, 0, 1, 1])
    assert figure.dpi / MM == pytest.approx(4), "a small box is four pixels wide"


@pytest.mark.parametrize("fs", [100, 500])
def test_paper_draws_every_lead_to_scale_in_its_own_seconds(fs):
    record = RNG.normal(0, 0.3, (12, 10 * fs))
    ax, lines = paper_traces(record, fs)
    layout = ["I", "aVR", "V1", "V4", "II", "aVL", "V2", "V5", "III", "aVF", "V3", "V6", "II"]
    assert [line.get_label() for line in lines] == layout
    pulses = [line for line in ax.lines if line.get_label() not in LEADS]
    baselines = np.repeat([pulse.get_ydata()[0] for pulse in pulses], [4, 4, 4, 1])
    start = lines[0].get_xdata()[0]
    for number, (line, baseline) in enumerate(zip(lines, baselines, strict=True)):
        first, last = (0, 10) if number == 12 else (2.5 * (number % 4), 2.5 * (number % 4 + 1))
        samples = slice(round(first * fs), round(last * fs))
        millivolt = record[LEADS.index(line.get_label()), samples]
        np.testing.assert_allclose(line.get_xdata(), start + np.arange(10 * fs)[samples] / fs * 25)
        np.testing.assert_allclose(line.get_ydata(), baseline + millivolt * 10)


def test_paper_has_a_calibration_pulse_in_every_row():
    ax, _ = paper_traces(RECORD)
    pulses = [line for line in ax.lines if line.get_label() not in LEADS]
    assert len(pulses) == 4
    for pulse in pulses:
        x, y = pulse.get_data()
        assert np.ptp(y) == pytest.approx(10)
        assert np.ptp(x[y == y.max()]) == pytest.approx(5)


def test_paper_has_boxes_of_one_and_five_millimetres():
    ax, _ = paper_traces(RECORD)
    for lines, box in zip(ax.collections, (1, 5), strict=True):
        ends = np.array(lines.get_segments())
        upright = ends[:, 0, 0] == ends[:, 1, 0]
        np.testing.assert_allclose(np.diff(ends[upright, 0, 0]), box)
        np.testing.assert_allclose(np.diff(ends[~upright, 0, 1]), box)
    baselines = [line.get_ydata()[0] for line in ax.lines if line.get_label() not in LEADS]
    np.testing.assert_allclose(np.mod(baselines, 5), 0, err_msg="0 mV lies on a line of the large boxes")


def test_paper_names_its_leads_and_its_scale():
    shown = texts(plots.ecg_paper(RECORD, FS, title="Record 17").axes[0])
    assert {*LEADS, "Record 17", "25 mm/s   10 mm/mV   100 Hz"} == shown


def test_paper_marks_synthetic_records_only_when_told():
    marked, plain = (texts(plots.ecg_paper(RECORD, FS, synthetic=mark).axes[0]) for mark in (True, False))
    assert [text for text in marked - plain if "SYNTHETIC" in text] == list(marked - plain) != []


@pytest.mark.parametrize("amplitude", [0, 0.1, 1, 3, 4.9])
def test_paper_rows_neither_overlap_nor_leave_the_paper(amplitude):
    record = np.zeros((12, 1000))
    record[:, 100::250], record[:, 200::250] = amplitude, -amplitude
    ax, lines = paper_traces(record)
    bottom = [min(line.get_ydata().min() for line in lines[k : k + 4]) for k in (0, 4, 8, 12)]
    top = [max(line.get_ydata().max() for line in lines[k : k + 4]) for k in (0, 4, 8, 12)]
    assert top[0] < ax.get_ylim()[1] - 5
    assert all(upper > lower for upper, lower in zip(bottom[:3], top[1:], strict=True))
    assert bottom[3] > 5


def test_paper_stays_of_a_sane_size_for_wild_samples():
    record = RECORD.copy()
    record[3] = 32.767
    assert plots.ecg_paper(record, FS).get_size_inches()[1] * MM < 500


def test_paper_draws_the_first_ten_seconds_of_a_longer_record():
    longer = np.hstack([RECORD, np.ones((12, 100))])
    for line, expected in zip(paper_traces(longer)[1], paper_traces(RECORD)[1], strict=True):
        np.testing.assert_array_equal(line.get_xydata(), expected.get_xydata())


def test_paper_needs_ten_seconds():
    with pytest.raises(DataError, match="record has 1000 samples, 2 s at 500 Hz"):
        plots.ecg_paper(RECORD, 500)


# --- Signals and images ---


def test_leads_draws_each_signal_over_seconds():
    axes = plots.leads(SIGNALS, FS, names=("I", "II", "V2"), units="mV").axes
    for ax, name, signal in zip(axes, ("I", "II", "V2"), SIGNALS, strict=True):
        time, shown = ax.lines[0].get_data()
        np.testing.assert_array_equal(shown, signal)
        np.testing.assert_allclose(time, np.arange(1000) / FS)
        assert ax.get_ylabel() == f"{name} (mV)"
        assert ax.get_xlim() == (0, 10)
    assert axes[-1].get_xlabel() == "time (s)"
    assert plots.leads(SIGNALS[:1], FS, names=["II"], units="").axes[0].get_ylabel() == "II"


def test_attribution_colours_each_sample_and_shades_the_mask():
    parts = np.zeros((3, 1000))
    parts[1, 300], parts[2, 500] = 2.0, -1.0
    mask = np.zeros((3, 1000), dtype=bool)
    mask[0, 100:200] = True
    *axes, bar = plots.attribution(SIGNALS, parts, FS, mask=mask).axes
    assert [ax.get_ylabel() for ax in axes] == ["I (mV)", "II (mV)", "V2 (mV)"]
    assert bar.get_ylim() == (-2, 2)
    grey, red, half_blue = (plots.FOR_AND_AGAINST(place) for place in (0.5, 1.0, 0.25))
    for lead, ax in enumerate(axes):
        pieces, shade = ax.collections
        middles = np.array([piece[1] for piece in pieces.get_segments()])
        np.testing.assert_allclose(middles, np.column_stack([np.arange(1000) / FS, SIGNALS[lead]]))
        colours = pieces.get_colors()
        np.testing.assert_allclose(colours[300], red if lead == 1 else grey)
        np.testing.assert_allclose(colours[500], half_blue if lead == 2 else grey)
        shaded = [path.vertices[:, 0] for path in shade.get_paths()]
        assert len(shaded) == (lead == 0)
    first = axes[0].collections[1].get_paths()[0].vertices[:, 0]
    assert 0.99 <= first.min() <= 1.0 and 1.99 <= first.max() <= 2.0


def test_attribution_scales_by_what_is_drawn():
    parts = np.zeros((3, 1000))
    parts[0, 50], parts[0, 900] = 1.0, 8.0
    figure = plots.attribution(SIGNALS, parts, FS, seconds=(0, 2))
    assert figure.axes[-1].get_ylim() == (-1, 1)
    assert figure.axes[0].get_xlim() == (0, 2)
    with pytest.raises(DataError, match="runs from 0 to 9.99 s"):
        plots.attribution(SIGNALS, parts, FS, seconds=(20, 30))


@pytest.mark.parametrize("side", [1000, 64])
def test_field_image_shows_array_and_signal_over_the_same_seconds(side):
    image = RNG.random((side, side))
    ax, above, beside, bar = plots.field_image(image, SIGNALS[0], FS, label="some value").axes
    shown = ax.images[0]
    np.testing.assert_array_equal(shown.get_array(), image)
    # Every one of the T samples covers 1/fs, so sample 0 starts half a sample before second 0.
    np.testing.assert_allclose(shown.get_extent(), [-0.005, 9.995, 9.995, -0.005])
    assert shown.origin == "upper"
    np.testing.assert_allclose([*above.get_xlim(), *beside.get_ylim()], [-0.005, 9.995, 9.995, -0.005])
    np.testing.assert_array_equal(above.lines[0].get_ydata(), SIGNALS[0])
    np.testing.assert_array_equal(beside.lines[0].get_xdata(), SIGNALS[0])
    np.testing.assert_allclose(above.lines[0].get_xdata(), np.arange(1000) / FS)
    np.testing.assert_allclose(beside.lines[0].get_ydata(), np.arange(1000) / FS)
    assert beside.get_xlim()[0] > beside.get_xlim()[1]
    assert (ax.get_xlabel(), beside.get_ylabel(), bar.get_ylabel()) == ("time (s)", "time (s)", "some value")


def test_field_image_is_square_and_lies_beside_its_signals():
    figure = plots.field_image(IMAGES[0], SIGNALS[0], FS)
    inches = np.tile(figure.get_size_inches(), 2)
    image, above, beside, _ = (np.array(ax.get_position().bounds) * inches for ax in figure.axes)
    assert image[2] == pytest.approx(image[3])
    np.testing.assert_allclose(above[[0, 2]], image[[0, 2]])
    np.testing.assert_allclose(beside[[1, 3]], image[[1, 3]])


def test_field_image_samples_lie_on_their_pixels():
    signal = np.array([0.0, 0.2, 1.0, 0.4])
    field = np.abs(signal[:, None] - signal)
    ax, above, beside, _ = plots.field_image(field, signal, fs=2).axes
    left, right, bottom, top = ax.images[0].get_extent()
    centres = left + (np.arange(4) + 0.5) * (right - left) / 4
    np.testing.assert_allclose(above.lines[0].get_xdata(), centres)
    np.testing.assert_allclose(beside.lines[0].get_ydata(), top + (np.arange(4) + 0.5) * (bottom - top) / 4)


def test_field_image_display_range():
    def shown(image, **settings):
        return plots.field_image(image, SIGNALS[0], FS, **settings).axes[0].images[0].get_clim()

    assert shown(IMAGES[0]) == (0, 255)
    assert shown(IMAGES[0], limits=(0, 51)) == (0, 51)
    assert shown(IMAGES[0] / 100 - 1) == (IMAGES[0].min() / 100 - 1, IMAGES[0].max() / 100 - 1)
    with pytest.raises(DataError, match="limits are"):
        shown(IMAGES[0], limits=(1, 1))


def test_field_image_has_the_colours_that_are_asked_for():
    def shown(**settings):
        return plots.field_image(IMAGES[0] / 127.5 - 1, SIGNALS[0], FS, limits=(-1, 1), **settings).axes[0].images[0]

    grey = shown().to_rgba(np.array([[-1, 0, 1]]))[0, :, :3]
    np.testing.assert_allclose(grey, np.repeat([[0], [0.5], [1]], 3, axis=1), atol=0.01)
    low, middle, high = shown(cmap="RdBu_r").to_rgba(np.array([[-1, 0, 1]]))[0, :, :3]
    assert low[2] > 0.3 > low[0] and middle.min() > 0.95 and high[0] > 0.3 > high[2]
    for unknown in ("blau", 3):
        with pytest.raises(DataError, match="cmap is"):
            shown(cmap=unknown)


def test_lightened_colours_order_values_as_greys_do_and_are_nowhere_dark():
    """Held against the lightness of CIELAB, as OpenCV calculates it."""
    colours = plots.LIGHTENED(np.linspace(0, 1, 101))[None, :, :3].astype(np.float32)
    lightness = cv2.cvtColor(colours, cv2.COLOR_RGB2LAB)[0, :, 0]
    assert (np.diff(lightness) > 0).all()
    assert lightness[0] > 50 and lightness[-1] > 95


def test_field_image_of_yes_and_no_has_a_bar_of_two_colours():
    near = np.abs(SIGNALS[0][:, None] - SIGNALS[0]) < 0.1
    ax, *_, bar = plots.field_image(near, SIGNALS[0], FS).axes
    np.testing.assert_array_equal(ax.images[0].get_array(), near)
    drawn = ax.images[0].to_rgba(np.array([[False, True]]))
    assert drawn[0, 0, :3].tolist() == [0, 0, 0] and drawn[0, 1, :3].tolist() == [1, 1, 1]
    boxes = next(part for part in bar.collections if part.get_array() is not None)
    colours = boxes.cmap(boxes.norm(boxes.get_array().reshape(-1)))
    np.testing.assert_array_equal(colours[:, :3], [[0, 0, 0], [1, 1, 1]])
    assert bar.get_yticks().tolist() == [0, 1]


@pytest.mark.parametrize("mtf_white", [51, 255])
def test_nine_images_are_where_they_belong(mtf_white):
    axes = plots.nine_images(IMAGES, SIGNALS, FS, mtf_white=mtf_white).axes
    assert len(axes) == 12
    for row, lead in enumerate(("I", "II", "V2")):
        beside, *three = axes[4 * row : 4 * row + 4]
        np.testing.assert_array_equal(beside.lines[0].get_xdata(), SIGNALS[row])
        np.testing.assert_allclose(beside.lines[0].get_ydata(), np.arange(1000) / FS)
        np.testing.assert_allclose(beside.get_ylim(), [9.995, -0.005])
        assert beside.get_xlim()[0] > beside.get_xlim()[1]
        assert beside.get_ylabel() == f"lead {lead}: time (s)"
        for column, ax in enumerate(three):
            np.testing.assert_array_equal(ax.images[0].get_array(), IMAGES[3 * row + column])
            np.testing.assert_allclose(ax.images[0].get_extent(), [-0.005, 9.995, 9.995, -0.005])
            assert ax.images[0].get_clim() == (0, mtf_white if column == 1 else 255)
            assert ax.get_xlabel() == ("time (s)" if row == 2 else "")
    titles = ["GAF, grey 0 to 255", f"MTF, grey 0 to {mtf_white}", "RP, grey 0 to 255"]
    assert [ax.get_title() for ax in axes[1:4]] == titles


def test_a_flat_signal_can_be_drawn():
    plots.nine_images(IMAGES, np.zeros((3, 1000)), FS).savefig(io.BytesIO())
    plots.field_image(np.zeros((8, 8)), np.zeros(8), FS).savefig(io.BytesIO())


# --- Training and evaluation ---


def test_training_curves_show_the_history_and_its_best_epoch():
    losses, scores = plots.training_curves(HISTORY).axes
    drawn = {"train_loss": losses.lines[0], "val_loss": losses.lines[1], "sensitivity": scores.lines[0]}
    drawn |= {"specificity": scores.lines[1], "auroc": scores.lines[2]}
    for column, line in drawn.items():
        np.testing.assert_array_equal(line.get_xdata(), HISTORY["epoch"])
        np.testing.assert_array_equal(line.get_ydata(), HISTORY[column])
    assert legend(losses) == ["training", "validation", "best epoch (3)"]
    assert legend(scores) == ["sensitivity", "specificity", "AUROC", "best epoch (3)"]
    for ax in (losses, scores):
        assert list(ax.lines[-1].get_xdata()) == [3, 3]
        assert ax.get_xlabel() == "epoch"


def test_training_curves_say_which_loss_it_is():
    axes = [plots.training_curves(HISTORY, task).axes[0] for task in (None, Task(), Task(kind="multiclass"))]
    assert [ax.get_ylabel() for ax in axes] == ["binary cross-entropy", "binary cross-entropy", "cross-entropy"]


def test_training_curves_take_what_has_a_frame():
    class History:
        def to_frame(self):
            return HISTORY

    np.testing.assert_array_equal(plots.training_curves(History()).axes[0].lines[1].get_ydata(), HISTORY["val_loss"])


def test_training_curves_show_a_single_epoch():
    losses, _ = plots.training_curves(HISTORY[:1]).axes
    assert losses.get_xlim() == (0.5, 1.5)
    assert losses.get_ylim()[1] > 1.1


@pytest.mark.parametrize(
    ("history", "message"),
    [
        (HISTORY.drop(columns=["val_loss", "auroc"]), "no column val_loss, auroc"),
        (HISTORY[:0], "no epochs"),
        (HISTORY.replace(0.75, np.nan), r"history column val_loss\[3\] is nan"),
    ],
)
def test_training_curves_bad_history(history, message):
    with pytest.raises(DataError, match=message):
        plots.training_curves(history)


def test_roc_equals_scikit_learn():
    ax = plots.roc(Y_TRUE, Y_PROB).axes[0]
    areas = roc_auc_score(Y_TRUE, Y_PROB, average=None)
    expected = [f"{name}  AUROC {area:.3f}" for name, area in zip(CLASSES, areas, strict=True)]
    assert legend(ax) == [*expected, "chance  AUROC 0.500"]
    for k, line in enumerate(ax.lines[:-1]):
        false_positive_rate, true_positive_rate, _ = roc_curve(Y_TRUE[:, k], Y_PROB[:, k])
        np.testing.assert_array_equal(line.get_data(), [false_positive_rate, true_positive_rate])
    assert "specificity" in ax.get_xlabel() and "sensitivity" in ax.get_ylabel()


def test_roc_lines_differ_in_more_than_colour():
    lines = plots.roc(Y_TRUE, Y_PROB).axes[0].lines[:-1]
    assert len({line.get_color() for line in lines}) == 4
    assert len({line.get_linestyle() for line in lines}) == 4


def test_roc_names_a_class_without_positives():
    with pytest.raises(DataError, match="no positive record among 200 for CD"):
        plots.roc(Y_TRUE * [1, 1, 0, 1], Y_PROB)


def test_curves_of_judging_equal_scikit_learn():
    for k, ax in enumerate(plots.precision_recall(Y_TRUE, Y_PROB).axes):
        precision, recall, _ = precision_recall_curve(Y_TRUE[:, k], Y_PROB[:, k])
        np.testing.assert_array_equal(ax.lines[0].get_data(), [recall, precision])
        assert ax.get_title() == f"{CLASSES[k]}  {average_precision_score(Y_TRUE[:, k], Y_PROB[:, k]):.3f}"
    for k, ax in enumerate(plots.reliability(Y_TRUE, Y_PROB, n_bins=5).axes):
        observed, predicted = calibration_curve(Y_TRUE[:, k], Y_PROB[:, k], n_bins=5, strategy="quantile")
        np.testing.assert_allclose(np.array(ax.lines[1].get_data(), dtype=float), [predicted, observed])
    for k, ax in enumerate(plots.decision_curve(Y_TRUE, Y_PROB).axes):
        # From 0.5 on, a false positive costs what a true one brings.
        pred = Y_PROB[:, k] >= 0.5
        tp, fp = (pred & (Y_TRUE[:, k] == 1)).mean(), (pred & (Y_TRUE[:, k] == 0)).mean()
        assert np.interp(0.5, *ax.lines[0].get_data()) == pytest.approx(tp - fp)
    assert inside(plots.reliability(*many(7), title="seven", classes=names(7)))


def test_confusion_tables_show_counts_and_shares():
    axes = plots.confusion_tables(TABLE).axes
    assert [ax.get_title() for ax in axes] == list(CLASSES)
    cells = {text.get_position(): text.get_text() for text in axes[0].texts}
    assert cells == {
        (0, 0): "TP\n30\n75.0%",
        (1, 0): "FN\n10\n25.0%",
        (0, 1): "FP\n20\n1.7%",
        (1, 1): "TN\n1,140\n98.3%",
    }
    np.testing.assert_allclose(axes[1].images[0].get_array(), [[1 / 4, 3 / 4], [0, 1]])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE[:, :3], r"table has shape \(4, 3\); it must be \(K, 4\)"),
        (-TABLE, "must hold counts"),
        (TABLE * [[1], [0], [1], [1]], "STTC is not defined"),
    ],
)
def test_confusion_tables_bad_table(table, message):
    with pytest.raises(DataError, match=message):
        plots.confusion_tables(table)


@pytest.mark.parametrize("n_classes", [1, 5, 71])
def test_any_number_of_classes_is_drawn_with_its_names(n_classes):
    y_true, y_prob = many(n_classes)
    table = metrics.confusion(y_true, y_prob >= 0.5)
    counted = pd.DataFrame(y_true, columns=names(n_classes))
    figures = [
        plots.roc(y_true, y_prob, "curves", names(n_classes)),
        plots.confusion_tables(table, "tables", names(n_classes)),
        plots.confusion_matrix(MATRIX[:n_classes, :n_classes], names(n_classes), "matrix"),
        plots.class_counts(counted, "counts", names(n_classes)),
    ]
    for figure in figures:
        shown = " ".join(text.get_text() for text in figure.findobj(Text))
        assert all(name in shown for name in names(n_classes) if len(name) < 5)
        assert inside(figure) and figure.get_size_inches()[0] < 16
    curves = [ax.lines[0].get_ydata() for ax in figures[0].axes]
    assert len(curves) == (n_classes if n_classes > 8 else 1)
    counts = [text.get_text() for ax in figures[1].axes for text in ax.texts]
    assert all(f"{count:,}" in text for count, text in zip(table.ravel(), counts, strict=True))


def test_a_dollar_sign_begins_no_formula():
    figure = plots.confusion_matrix(TABLE, (r"$\wrong$", "$", "CD", "HYP"))
    figure.savefig(io.BytesIO())
    assert figure.axes[0].get_yticklabels()[0].get_text() == r"\$\wrong\$"


def test_other_numbers_of_names_than_classes_are_refused():
    for draw in (plots.confusion_tables, plots.confusion_matrix):
        with pytest.raises(SettingError, match="2 classes are named"):
            draw(TABLE, classes=("AFIB", "PVC"))
    with pytest.raises(SettingError, match="2 classes are named"):
        plots.roc(Y_TRUE, Y_PROB, classes=("AFIB", "PVC"))


def test_confusion_matrix_shows_counts_and_shares_of_the_row():
    matrix = np.array([[30, 10, 0], [0, 0, 0], [1, 1000, 999]])
    ax = plots.confusion_matrix(matrix, ("AFIB", "PVC", "NORM")).axes[0]
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells[1, 0] == "10\n25.0%" and cells[1, 2] == "1,000\n50.0%" and cells[1, 1] == "0\n0.0%"
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.75, 0.25, 0], [0, 0, 0], [0.0005, 0.5, 0.4995]])
    labels = [[tick.get_text() for tick in axis.get_ticklabels()] for axis in (ax.xaxis, ax.yaxis)]
    assert labels == [["AFIB", "PVC", "NORM"]] * 2
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "record has it")
    for bad, message in ((matrix[:2], "must be square"), (-matrix, "must hold counts")):
        with pytest.raises(DataError, match=message):
            plots.confusion_matrix(bad)


def test_class_counts_equal_a_count_by_hand():
    ax = plots.class_counts(COUNTED).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [2, 1, 1, 0, 1]
    assert [label.get_text() for label in ax.get_yticklabels()] == [*CLASSES, "none of them"]
    assert "2  (50.0%)" in texts(ax)
    assert ax.get_xlabel() == "records, of 4"


@pytest.mark.parametrize(
    ("table", "message"), [(COUNTED.drop(columns="CD"), "no column CD"), (COUNTED[:0], "no records")]
)
def test_class_counts_bad_table(table, message):
    with pytest.raises(DataError, match=message):
        plots.class_counts(table)


def test_spectrum_equals_welch_and_peaks_at_the_tone():
    time = np.arange(1000) / FS
    tones = np.stack([np.sin(2 * np.pi * 8 * time), 2 + np.sin(2 * np.pi * 30 * time)])
    ax = plots.spectrum(tones, FS, names=("8 Hz", "30 Hz"), units="mV").axes[0]
    for line, tone, peak in zip(ax.lines, tones, (8, 30), strict=True):
        frequency, power = welch(tone, FS, nperseg=400)
        np.testing.assert_allclose(line.get_xdata(), frequency[1:])
        np.testing.assert_allclose(line.get_ydata(), power[1:])
        assert line.get_xdata()[np.argmax(line.get_ydata())] == pytest.approx(peak)
    assert ax.get_xlim() == (0, 50)
    assert ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("frequency (Hz)", "power density (mV²/Hz)")
    assert legend(ax) == ["8 Hz", "30 Hz"]


def test_spectrum_of_a_flat_signal_is_an_error():
    with pytest.raises(DataError, match="signal V2 is flat"):
        plots.spectrum(SIGNALS * [[1], [1], [0]], FS)


@pytest.mark.parametrize("band", [(45, 1), (1, 60), (-1, 20)])
def test_spectrum_bad_band(band):
    with pytest.raises(DataError, match="band is"):
        plots.spectrum(SIGNALS, FS, band=band)


# --- Bad input that several figures have in common ---


@pytest.mark.parametrize("fs", [0, -100, np.nan, np.inf, "100", None])
def test_bad_sampling_rate(fs):
    for draw in (plots.leads, plots.spectrum):
        with pytest.raises(DataError, match="sampling rate"):
            draw(SIGNALS, fs)
    with pytest.raises(DataError, match="sampling rate"):
        plots.ecg_paper(RECORD, fs)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.ecg_paper(RECORD[:3], FS), r"record has shape \(3, 1000\); it must be \(12, T\)"),
        (lambda: plots.ecg_paper(RECORD.T, FS), r"record has shape \(1000, 12\); it must be \(12, T\)"),
        (lambda: plots.leads(RECORD, FS), r"x has shape \(12, 1000\); it must be \(3, T\)"),
        (lambda: plots.leads(SIGNALS[:, :0], FS), r"x has shape \(3, 0\)"),
        (lambda: plots.leads(SIGNALS.astype(str), FS), "it must hold numbers"),
        (lambda: plots.field_image(IMAGES, SIGNALS[0], FS), r"it must be \(S, S\)"),
        (lambda: plots.field_image(IMAGES[0, :9], SIGNALS[0], FS), "must be square"),
        (lambda: plots.field_image(IMAGES[0], SIGNALS, FS), r"signal has shape .* it must be \(T,\)"),
        (lambda: plots.nine_images(IMAGES[:8], SIGNALS, FS), r"it must be \(9, S, S\)"),
        (lambda: plots.nine_images(IMAGES[:, :9], SIGNALS, FS), "must be square"),
        (lambda: plots.nine_images(IMAGES / 255, SIGNALS, FS), "images are float64; give the uint8"),
        (lambda: plots.nine_images(IMAGES, SIGNALS, FS, mtf_white=0), "mtf_white is 0"),
    ],
)
def test_bad_arrays(draw, message):
    with pytest.raises(DataError, match=message):
        draw()


def test_a_sample_that_is_not_finite_is_named():
    record = RECORD.copy()
    record[4, 17] = np.nan
    with pytest.raises(DataError, match=r"record\[4, 17\] is nan"):
        plots.ecg_paper(record, FS)


# --- leads above their images ---


def test_leads_and_images_shows_each_image_under_its_lead():
    figure = plots.leads_and_images(SIGNALS, IMAGES, FS, synthetic=True)
    traces, images = figure.axes[:3], figure.axes[3:]
    for ax, name, signal in zip(traces, ("I", "II", "V2"), SIGNALS, strict=True):
        assert ax.get_ylabel() == f"{name} (mV)"
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), signal)
    for ax, image, white in zip(images, IMAGES, 3 * [255, 51, 255], strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), image)
        assert ax.images[0].get_clim() == (0, white)
    assert [ax.get_xlabel() for ax in images if ax.get_xlabel()] == [f"lead {n}: time (s)" for n in ("I", "II", "V2")]
    assert len({ax.get_ylim() for ax in traces}) == 1, "one scale"
    assert min(ax.get_position().y0 for ax in traces) > max(ax.get_position().y1 for ax in images)


def test_leads_and_images_draws_what_the_images_are_made_from_over_the_leads():
    figure = plots.leads_and_images(SIGNALS, IMAGES, FS, made_from=2 * SIGNALS)
    for ax, signal in zip(figure.axes[:3], SIGNALS, strict=True):
        np.testing.assert_array_equal([line.get_ydata() for line in ax.lines], [signal, 2 * signal])
        low, high = ax.get_ylim()
        assert low < 2 * SIGNALS.min() and 2 * SIGNALS.max() < high, "room for both"
    with pytest.raises(DataError, match="made_from"):
        plots.leads_and_images(SIGNALS, IMAGES, FS, made_from=SIGNALS[:2])


@pytest.mark.parametrize("synthetic", [True, False])
def test_leads_and_images_marks_what_is_synthetic(synthetic):
    figure = plots.leads_and_images(SIGNALS, IMAGES, FS, synthetic=synthetic)
    assert any("no patient" in text.get_text() for text in figure.texts) == synthetic


def test_leads_and_images_refuses_a_white_that_is_no_grey_level():
    with pytest.raises(DataError, match="mtf_white is 0"):
        plots.leads_and_images(SIGNALS, IMAGES, FS, mtf_white=0)


# --- The conduction system ---


def test_conduction_colours_a_beat_like_the_muscle_that_is_active_and_keeps_its_paths_in_that_muscle():
    heart, ax = plots.conduction(BEAT, MS, BOUNDS).axes
    spans = ax.patches[:4]
    assert [span.get_x() for span in spans] + [spans[-1].get_x() + spans[-1].get_width()] == pytest.approx(BOUNDS)
    atria, ventricles, *cavities = (each for each in heart.patches if isinstance(each, Polygon))
    assert spans[0].get_facecolor() == atria.get_facecolor() and spans[2].get_facecolor() == ventricles.get_facecolor()

    def within(muscle, points):
        hollow = np.any([cavity.get_path().contains_points(points) for cavity in cavities], axis=0)
        return muscle.get_path().contains_points(points) & ~hollow

    paths = [line.get_xydata() for line in heart.lines if not line.get_label().startswith("_")]
    his, right, left, *fibers = paths
    assert within(atria, his[:20]).all() and within(ventricles, his[-20:]).all(), "the only way through the gap"
    assert not (within(atria, his) | within(ventricles, his)).all(), "which doesn't conduct"
    assert not within(ventricles, atria.get_xy()).any() and not within(atria, ventricles.get_xy()).any()
    assert within(ventricles, np.concatenate([right, left, *fibers])[1:]).all()
    assert (right[10:, 0] < np.interp(-right[10:, 1], -left[:, 1], left[:, 0])).all(), (
        "the patient's right is at the left"
    )
    assert within(atria, np.array([each.center for each in heart.patches if isinstance(each, Circle)])).all()


def test_conduction_names_the_waves_where_they_are_and_measures_the_intervals():
    ax = plots.conduction(BEAT, MS, BOUNDS).axes[1]
    for text in ax.texts:
        if text.get_text() in WAVES:
            at, height, _ = WAVES[text.get_text()]
            x, y = text.get_position()
            assert abs(x - at) <= 8 and 0 < (y - height) * np.sign(height) < 0.1
    assert texts(ax) == {*WAVES, "PR", "QRS", "QT"}
    lengths = {line.get_label()[1:]: np.ptp(line.get_xdata()) for line in ax.lines[2:]}
    assert lengths == {"PR": 145, "QRS": 90, "QT": 405}
    upright = texts(plots.conduction(np.where(BEAT < 0, 0, BEAT), MS, BOUNDS).axes[1])
    assert {"Q", "S"}.isdisjoint(upright), "a beat that has neither Q nor S"
    for wrong in ((-190, -90, -95, 45, 360), (-190, -90, -45, 45, 600), (-190, -190.5, -45, 45, 360)):
        with pytest.raises(DataError, match="five rising times"):
            plots.conduction(BEAT, MS, wrong)
