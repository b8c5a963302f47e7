"""Answers to the exercises of chapter 11, evaluation."""

import numpy as np

from ecgcourse.course.exercises.judging import conditions, function, values

_TP, _FN, _FP, _TN = 8, 2, 4, 86


def rates() -> dict[str, float]:
    return _rates(_TP / (_TP + _FN), _TP / (_TP + _FP))


def _rates(sensitivity: float, precision: float) -> dict[str, float]:
    f1 = 2 * sensitivity * precision / (sensitivity + precision)
    return {"sensitivity": sensitivity, "precision": precision, "F1": f1}


def right_among_positives(sensitivity: float, specificity: float, prevalence: float) -> float:
    """The share of positive results that are right (precision, positive predictive value)."""
    found, false_alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return found / (found + false_alarms)


def best_on_these(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    """The largest root of sensitivity times specificity that any threshold reaches on these records (N,)."""
    return max(np.sqrt(sens * spec) for sens, spec in _points(y_true, y_prob))


def _points(y_true: np.ndarray, y_prob: np.ndarray, thresholds: np.ndarray | None = None) -> list[tuple[float, float]]:
    """Sensitivity and specificity at every probability that occurs, or at some thresholds."""
    positive = y_true == 1
    chosen = np.unique(y_prob) if thresholds is None else thresholds
    return [((y_prob[positive] >= t).mean(), (y_prob[~positive] < t).mean()) for t in chosen]


def _balanced_by_sum(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    return np.sqrt(np.prod(max(_points(y_true, y_prob), key=sum)))


def _most_accurate(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    share = (y_true == 1).mean()
    points = _points(y_true, y_prob)
    return np.sqrt(np.prod(max(points, key=lambda point: share * point[0] + (1 - share) * point[1])))


def _predictions() -> list[tuple[np.ndarray, np.ndarray]]:
    """Labels and probabilities of one class, the class rare and the probabilities low, with ties."""
    rng = np.random.default_rng(0)
    made = [(np.array([1, 0, 1, 0, 0, 0]), np.array([0.4, 0.4, 0.3, 0.2, 0.1, 0.35]))]
    for n_records in (40, 60):
        y_true = (np.arange(n_records) % 5 == 0).astype(int)
        made.append((y_true, np.round(1 / (1 + np.exp(2 - 1.2 * y_true - rng.normal(size=n_records))), 2)))
    return made


MEDIAN_BEAT = 0.867  # macro AUROC on the practice set's test fold


EXERCISES = {
    1: values(
        rates,
        (
            lambda: _rates(_TP / (_TP + _FP), _TP / (_TP + _FN)),
            "sensitivity and precision are exchanged: sensitivity looks at those who have it.",
        ),
        (
            lambda: {**rates(), "F1": (rates()["sensitivity"] + rates()["precision"]) / 2},
            "sensitivity and precision are right. F1 isn't their plain mean: the harmonic mean is 2 a b / (a + b).",
        ),
        (
            lambda: _rates(_TP / (_TP + _FN), _TN / (_TN + _FP)),
            "what you call precision is the specificity. Precision looks at those who were called ill.",
        ),
        (
            lambda: {name: 100 * share for name, share in rates().items()},
            "those are percents. Give shares between 0 and 1, as the package does.",
        ),
        what='{"sensitivity": …, "precision": …, "F1": …}, three numbers between 0 and 1',
        hint="write the four counts into the table of the chapter first.",
        rtol=2e-3,
    ),
    2: values(
        lambda: 5,
        (lambda: 1, "the weights multiplied the odds in training, so undoing them once is right."),
        (lambda: 2, "these are calibrated probabilities of the test records. Nothing is wrong with them yet."),
        (lambda: 3, "the order of the records stays, so the AUROC does too: this line prints what it should."),
        (
            lambda: 4,
            "fitting on the validation set is right. Where do these thresholds meet probabilities of another kind?",
        ),
        (lambda: 6, "the macro mean is reported elsewhere in the chapter, too. Its counts are wrong already."),
        what="the number of a line",
        hint="say for each line which probabilities it uses: those with class weights, or those without.",
    ),
    3: function(
        right_among_positives,
        (
            lambda sens, spec, prevalence: sens,
            "that is the share of the ill who are found. Asked is the share of the positive results that are right.",
        ),
        (
            lambda sens, spec, prevalence: sens / (sens + 1 - spec),
            "that holds where every second person has the disease. Weigh both groups by their size.",
        ),
        (
            lambda sens, spec, prevalence: sens * prevalence / (sens * prevalence + spec * (1 - prevalence)),
            "the healthy who get a positive result are the share 1 − specificity of them.",
        ),
        (
            lambda sens, spec, prevalence: sens * prevalence / (sens * prevalence + 1 - spec),
            "only those without the disease can be false alarms: their share is 1 − prevalence.",
        ),
        (
            lambda sens, spec, prevalence: 1 - right_among_positives(sens, spec, prevalence),
            "that is the share of the positive results that are wrong.",
        ),
        tries=lambda: [(0.9, 0.9, 0.01), (0.8, 0.95, 0.3), (0.6, 0.7, 0.2)],
        what="a function that takes sensitivity, specificity and prevalence, and returns a share",
        hint="fill in the four counts of 100,000 people, then divide TP by TP + FP.",
    ),
    4: function(
        best_on_these,
        (
            lambda y_true, y_prob: max(np.sqrt(np.prod(point)) for point in _points(y_true, y_prob, [0.5])),
            "that is the value at 0.5. Try every probability that occurs as a threshold.",
        ),
        (
            lambda y_true, y_prob: best_on_these(y_true, y_prob) ** 2,
            "that is the product. Its root is asked for.",
        ),
        (
            _most_accurate,
            "you took the threshold with the best accuracy. For a rare class it is another one.",
        ),
        (
            lambda y_true, y_prob: max(sum(point) / 2 for point in _points(y_true, y_prob)),
            "that is the mean of sensitivity and specificity. The root of their product is asked for.",
        ),
        (
            lambda y_true, y_prob: best_on_these(y_true, np.nextafter(y_prob, 0) * (y_true == 0) + y_prob * y_true),
            "a record whose probability equals the threshold is a yes in both groups: >= for those with the class, "
            "and < for those without.",
        ),
        tries=_predictions,
        what="a function that takes y_true (N,) and y_prob (N,) of one class, and returns one number",
        hint="loop over np.unique(y_prob); at each threshold compute the sensitivity and the specificity.",
    ),
    5: conditions(
        lambda: 0.88,
        (lambda area: 0 < area <= 1, lambda: 88.0, "an AUROC lies between 0 and 1."),
        (
            lambda area: area < 0.98,
            lambda: 0.995,
            "some test labels are wrong, so who knows the truth gets 0.982. Did your model see the test labels?",
        ),
        (
            lambda area: area > MEDIAN_BEAT,
            lambda: 0.86,
            "not above 0.867. What do the other baselines see that one scaled beat doesn't show?",
        ),
        what="one number, a macro AUROC",
    ),
}
