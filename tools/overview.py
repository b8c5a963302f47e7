"""Draw the pipeline in one picture, from a record of the practice set: book/_static/overview.png.

python tools/overview.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Polygon

from ecgcourse import practice, ptbxl, render, signals

TARGET = Path(__file__).resolve().parents[1] / "book" / "_static" / "overview.png"
CLASS_NAMES = {
    "MI": "myocardial infarction",
    "STTC": "ST/T change",
    "CD": "conduction disturbance",
    "HYP": "hypertrophy",
}
LEADS = ("I", "II", "V2")
SAMPLING_RATE = 100
RECORD = 14
SECONDS = 5  # half a record, so that single beats can be seen in images of this size
COLOURS = ("#0072B2", "#D55E00", "#009E73")
INK = "#333333"
# Side and number of maps of each layer, drawn smaller and thicker in turn.
LAYERS = ((1.0, 0.06), (0.72, 0.12), (0.5, 0.2), (0.5, 0.26), (0.3, 0.34))


def one_record() -> tuple[np.ndarray, np.ndarray]:
    """Return the three leads (3, T) of the gallery's normal practice record, as recorded, and its images (9, S, S)."""
    root = practice.data_root()
    record = ptbxl.read_signals(root, ptbxl.read_table(root).loc[[RECORD]])[..., : SECONDS * SAMPLING_RATE]
    return signals.select_leads(record)[0], render.render(signals.preprocess(record))[0]


def draw_leads(axes: list[Axes], x: np.ndarray) -> None:
    for ax, lead, name, colour in zip(axes, x, LEADS, COLOURS, strict=True):
        ax.plot(np.arange(len(lead)) / SAMPLING_RATE, lead, color=colour, linewidth=0.9)
        ax.text(-0.03, 0.5, name, transform=ax.transAxes, ha="right", va="center", color=colour, weight="bold", size=13)
        ax.set_axis_off()


def draw_images(axes: list[Axes], images: np.ndarray) -> None:
    for number, (ax, image) in enumerate(zip(axes, images, strict=True)):
        # A Markov transition field ends at grey level 51; each image is shown over its own range.
        ax.imshow(image, cmap="gray")
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_color(COLOURS[number // 3])
            spine.set_linewidth(1.4)
        if number < 3:
            ax.set_title(("GAF", "MTF", "RP")[number], fontsize=11, color=INK, pad=3)


def draw_network(ax: Axes) -> None:
    left = 0.0
    for side, depth in LAYERS:
        slant = 0.16 * side
        bottom, top = 0.5 - side / 2, 0.5 + side / 2
        front = [(left, bottom), (left, top - slant), (left + slant, top), (left + slant, bottom + slant)]
        thick = [(x + depth, y) for x, y in front]
        ax.add_patch(Polygon([front[1], thick[1], thick[2], front[2]], facecolor="#cfe3f1", edgecolor="#0072B2"))
        ax.add_patch(Polygon([front[0], thick[0], thick[1], front[1]], facecolor="#9fc6e2", edgecolor="#0072B2"))
        ax.add_patch(Polygon(thick, facecolor="#e7f1f8", edgecolor="#0072B2"))
        left += depth + slant + 0.1
    for height in (0.62, 0.44, 0.2):
        ax.add_patch(
            FancyBboxPatch(
                (left, 0.5 - height / 2),
                0.05,
                height,
                boxstyle="round,pad=0.01",
                facecolor="#f3d9b1",
                edgecolor="#E69F00",
            )
        )
        left += 0.16
    ax.set_xlim(-0.02, left)
    ax.set_ylim(-0.05, 1.05)
    ax.set_axis_off()


def draw_classes(ax: Axes) -> None:
    for row, (name, meaning) in enumerate(CLASS_NAMES.items()):
        y = 0.84 - 0.225 * row
        ax.plot(0.03, y, "o", color="#CC79A7", markersize=9, clip_on=False)
        ax.text(0.12, y + 0.005, name, weight="bold", va="bottom", color=INK, fontsize=13)
        ax.text(0.12, y - 0.015, meaning, va="top", color=INK, fontsize=9)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_axis_off()


def draw(x: np.ndarray, images: np.ndarray) -> plt.Figure:
    figure = plt.figure(figsize=(9, 3.2), dpi=200)
    columns = figure.add_gridspec(
        1, 4, width_ratios=(2.9, 3.0, 2.5, 2.5), wspace=0.16, left=0.04, right=0.995, top=0.78, bottom=0.03
    )
    leads = columns[0].subgridspec(3, 1, hspace=0.15).subplots()
    grid = columns[1].subgridspec(3, 3, wspace=0.06, hspace=0.06).subplots()
    network, classes = (figure.add_subplot(columns[number]) for number in (2, 3))
    draw_leads(list(leads), x)
    draw_images(list(grid.flat), images)
    draw_network(network)
    draw_classes(classes)
    titles = ("3 synthetic leads", "9 images", "AlexNet", "4 probabilities")
    for number, title in enumerate(titles):
        box = columns[number].get_position(figure)
        figure.text((box.x0 + box.x1) / 2, 0.94, title, ha="center", va="center", fontsize=13, color=INK)
        if number:
            figure.text(box.x0 - 0.021, 0.94, "→", ha="center", va="center", fontsize=15, color=INK)
    return figure


def main() -> None:
    figure = draw(*one_record())
    figure.savefig(TARGET, facecolor="white", metadata={"Software": None})
    print(TARGET)


if __name__ == "__main__":
    main()
