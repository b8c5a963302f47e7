import numpy as np
import pytest
from sklearn import metrics as sk

from ecgcourse import metrics
from ecgcourse.errors import DataError, SettingError
from ecgcourse.records.ptbxl import CLASSES

# Six records worked by hand; per class (columns MI, STTC, CD, HYP):
# MI   true 1 1 0 0 0 1, predicted 1 0 0 1 0 1: TP 2, FN 1, FP 1, TN 2
# STTC true 0 1 0 1 0 0, predicted 0 1 0 1 0 0: TP 2, FN 0, FP 0, TN 4
# CD   true 1 0 0 0 0 0, predicted 0 1 1 1 1 1: TP 0, FN 1, FP 5, TN 0
# HYP  true 1 1 1 1 1 0, predicted 1 1 1 0 0 1: TP 3, FN 2, FP 1, TN 0
Y_TRUE = np.array([[1, 0, 1, 1], [1, 1, 0, 1], [0, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1], [1, 0, 0, 0]])
Y_PRED = np.array([[1, 0, 0, 1], [0, 1, 1, 1], [0, 0, 1, 1], [1, 1, 1, 0], [0, 0, 1, 0], [1, 0, 1, 1]])
TABLE = np.array([[2, 1, 1, 2], [2, 0, 0, 4], [0, 1, 5, 0], [3, 2, 1, 0]])


@pytest.fixture(params=[(2, 4), (200, 4), (50, 1), (300, 7)], ids=str)
def predictions(request):
    n_records, n_classes = request.param
    rng = np.random.default_rng(n_records)
    y_true = (rng.random((n_records, n_classes)) < 0.3).astype(int)
    y_true[0], y_true[1] = 0, 1
    # One decimal, so that many records share a probability.
    y_prob = np.round(np.clip(0.3 * y_true + rng.normal(0.4, 0.25, y_true.shape), 0, 1), 1)
    return y_true, y_prob


def test_confusion_equals_the_hand_worked_table():
    table = metrics.confusion(Y_TRUE, Y_PRED)
    assert table.dtype == np.int64
    np.testing.assert_array_equal(table, TABLE)


# Six records; the third and the last have nothing, the fourth is told nothing.
HAS = [[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0]]
SAID = [[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0], [0, 0, 1], [1, 0, 1]]


def test_none_of_the_classes_is_counted_as_by_hand():
    assert metrics.with_none(HAS)[:, 3].tolist() == [0, 0, 1, 0, 0, 1]
    # Found: the third. Missed: the last. Falsely told nothing: the fourth. Rightly not: the other three.
    table = metrics.confusion(metrics.with_none(HAS), metrics.with_none(SAID))
    np.testing.assert_array_equal(table, [*metrics.confusion(HAS, SAID), [1, 1, 1, 3]])
    # The fifth record is told 2 for its 2, which is right, and stands in the row of its 0 too.
    expected = [[1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 1, 1], [1, 0, 1, 1]]
    np.testing.assert_array_equal(metrics.cross_table(HAS, SAID), expected)
    assert metrics.cross_table(HAS, SAID).diagonal().tolist() == table[:, 0].tolist()


def test_where_each_record_has_one_class_the_cross_table_is_scikit_learns_matrix():
    rng = np.random.default_rng(0)
    true, said = rng.integers(4, size=(2, 200))
    # The fourth is none of the other three.
    one_hot = np.eye(4, dtype=int)[:, :3]
    np.testing.assert_array_equal(metrics.cross_table(one_hot[true], one_hot[said]), sk.confusion_matrix(true, said))


def test_rates_equal_the_hand_worked_fractions():
    np.testing.assert_allclose(metrics.sensitivity(TABLE), [2 / 3, 1, 0, 3 / 5])
    np.testing.assert_allclose(metrics.specificity(TABLE), [2 / 3, 1, 0, 0])
    np.testing.assert_allclose(metrics.accuracy(TABLE), [4 / 6, 1, 0, 3 / 6])
    np.testing.assert_allclose(metrics.f1(TABLE), [4 / 6, 1, 0, 6 / 9])


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32], ids=str)
def test_labels_may_have_any_numeric_type(kind):
    np.testing.assert_array_equal(metrics.confusion(Y_TRUE.astype(kind), Y_PRED.astype(kind)), TABLE)


def test_confusion_equals_scikit_learn(predictions):
    y_true, y_prob = predictions
    y_pred = (y_prob >= 0.5).astype(int)
    # scikit-learn takes a single column for a binary problem, so it gets every column twice.
    doubled = sk.multilabel_confusion_matrix(np.hstack([y_true] * 2), np.hstack([y_pred] * 2))
    (tn, fp), (fn, tp) = np.moveaxis(doubled[: y_true.shape[1]], 0, -1)
    np.testing.assert_array_equal(metrics.confusion(y_true, y_pred), np.stack([tp, fn, fp, tn], axis=1))


def test_rates_equal_scikit_learn(predictions):
    y_true, y_prob = predictions
    y_pred = (y_prob >= 0.5).astype(int)
    table = metrics.confusion(y_true, y_pred)
    pairs = list(zip(y_true.T, y_pred.T, strict=True))
    np.testing.assert_allclose(metrics.sensitivity(table), [sk.recall_score(*pair) for pair in pairs])
    recall_of_zeros = [sk.recall_score(*pair, pos_label=0) for pair in pairs]
    np.testing.assert_allclose(metrics.specificity(table), recall_of_zeros)
    np.testing.assert_allclose(metrics.accuracy(table), [sk.accuracy_score(*pair) for pair in pairs])
    np.testing.assert_allclose(metrics.f1(table), [sk.f1_score(*pair) for pair in pairs])


def test_areas_equal_scikit_learn(predictions):
    y_true, y_prob = predictions
    # average=None answers a bare number for one class.
    auroc = np.atleast_1d(sk.roc_auc_score(y_true, y_prob, average=None))
    average_precision = np.atleast_1d(sk.average_precision_score(y_true, y_prob, average=None))
    np.testing.assert_allclose(metrics.auroc(y_true, y_prob), auroc)
    np.testing.assert_allclose(metrics.average_precision(y_true, y_prob), average_precision)


def test_auroc_is_the_share_of_well_ordered_pairs(predictions):
    y_true, y_prob = predictions
    positive, negative = (y_prob[y_true[:, 0] == value, 0] for value in (1, 0))
    difference = positive[:, None] - negative
    expected = ((difference > 0) + 0.5 * (difference == 0)).mean()
    assert metrics.auroc(y_true, y_prob)[0] == pytest.approx(expected)


def test_rates_keep_leading_axes():
    stack = np.stack([TABLE, TABLE[::-1]])
    np.testing.assert_array_equal(metrics.sensitivity(stack)[1], metrics.sensitivity(TABLE)[::-1])


@pytest.mark.parametrize("k", range(4))
@pytest.mark.parametrize(("value", "word"), [(0, "positive"), (1, "negative")])
def test_a_class_that_is_missing_is_named(k, value, word):
    y_true = Y_TRUE.copy()
    y_true[:, k] = value
    rate = metrics.sensitivity if value == 0 else metrics.specificity
    with pytest.raises(DataError, match=f"{CLASSES[k]} is not defined: no {word}s"):
        rate(metrics.confusion(y_true, Y_TRUE))
    with pytest.raises(DataError, match=f"no {word} record among 6 for {CLASSES[k]}"):
        metrics.auroc(y_true, Y_TRUE)


def test_average_precision_needs_positives_only():
    with pytest.raises(DataError, match="no positive record among 6 for class 0"):
        metrics.average_precision(np.zeros((6, 1)), np.full((6, 1), 0.5))
    assert metrics.average_precision(np.ones((6, 1)), np.full((6, 1), 0.5)) == [1.0]


def test_f1_without_any_positive_is_an_error():
    with pytest.raises(DataError, match="F1 of CD"):
        metrics.f1([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 4], [1, 1, 1, 1]])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(4), r"y_true has shape \(4,\)"),
        (np.zeros((0, 4)), r"y_true has shape \(0, 4\)"),
        (np.full((3, 4), "MI"), "it must hold numbers"),
        ([[0, 1, 0, 1], [0, 0, 2, 0]], r"y_true\[1, 2\] \(CD\) is 2, not 0 or 1"),
        ([[0, 1, 0, np.nan]], r"y_true\[0, 3\] \(HYP\) is nan, not 0 or 1"),
    ],
)
def test_bad_labels(labels, message):
    with pytest.raises(DataError, match=message):
        metrics.confusion(labels, labels)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.001, 1.001])
def test_bad_probabilities(wrong):
    y_prob = np.full((6, 4), 0.5)
    y_prob[4, 1] = wrong
    for function in (metrics.auroc, metrics.average_precision):
        with pytest.raises(DataError, match=r"y_prob\[4, 1\] \(STTC\) is .*, not a probability"):
            function(Y_TRUE, y_prob)


def test_shapes_must_agree():
    with pytest.raises(DataError, match=r"y_true has shape \(6, 4\) and y_pred has shape \(5, 4\)"):
        metrics.confusion(Y_TRUE, Y_PRED[:5])
    with pytest.raises(DataError, match=r"y_true has shape \(6, 4\) and y_prob has shape \(6, 3\)"):
        metrics.auroc(Y_TRUE, Y_PRED[:, :3])


@pytest.mark.parametrize("table", [[1, 1, 1, 1], [[1, 1, 1]], [[1, 1, -1, 1]], [[1, 1, np.nan, 1]]], ids=str)
def test_bad_tables(table):
    with pytest.raises(DataError, match="the table"):
        metrics.sensitivity(table)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda names: metrics.check_labels([[0, 2]], classes=names), r"y_true\[0, 1\] \(PVC\) is 2"),
        (lambda names: metrics.auroc([[0, 1], [1, 1]], [[0, 1], [0, 7]], names), r"y_prob\[1, 1\] \(PVC\) is 7"),
        (lambda names: metrics.auroc([[0, 1], [1, 1]], [[0, 1], [0, 1]], names), "no negative record among 2 for PVC"),
        (lambda names: metrics.fit_thresholds([[1, 0], [1, 1]], [[0, 1], [0, 1]], names), "negative .* for AFIB"),
        (lambda names: metrics.specificity([[1, 1, 1, 1], [1, 1, 0, 0]], names), "specificity of PVC"),
        (lambda names: metrics.check_exactly_one(np.array([[0, 1], [1, 1]]), names), r"y_true\[1\] has 2.*AFIB, PVC;"),
        (lambda names: metrics.check_exactly_one(np.array([[0, 0], [1, 1]]), names), r"y_true\[0\] has no class"),
    ],
)
def test_errors_name_the_classes_as_given(call, message):
    with pytest.raises(DataError, match=message):
        call(("AFIB", "PVC"))


def test_another_number_of_names_is_an_error():
    for call in (metrics.confusion, metrics.auroc, metrics.fit_thresholds):
        with pytest.raises(SettingError, match=r"2 classes are named \(AFIB, PVC\), but the data have 4"):
            call(Y_TRUE, Y_PRED, classes=("AFIB", "PVC"))


def test_decisions():
    y_prob = np.array([[0.2, 0.4, 0.4], [0.7, 0.2, 0.1], [0.3, 0.1, 0.6]])
    np.testing.assert_array_equal(metrics.decide(y_prob, multiclass=True), [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(metrics.decide(y_prob, [0.3, 0.2, 0.6]), [[0, 1, 0], [1, 1, 0], [1, 0, 1]])
    np.testing.assert_array_equal(metrics.decide(y_prob), y_prob >= 0.5)
    with pytest.raises(DataError, match="not a probability"):
        metrics.decide(5 * y_prob, multiclass=True)
