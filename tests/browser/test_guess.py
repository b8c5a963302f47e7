"""The deck "Guess the class" in a real browser, against the classifier and the generator."""

import base64
from collections.abc import Iterator

import numpy as np
import pytest
from accessibility import can_be_read_and_fits_a_phone, violations
from complaints import opened
from playwright.sync_api import Browser, Page

from ecgcourse import guess, practice, ptbxl
from ecgcourse.classifier import Classifier


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The deck as a file, opened once; at the end it has complained of nothing and asked nobody."""
    path = guess.page().write(tmp_path_factory.mktemp("page") / "guess.html")
    with opened(browser, path) as page:
        yield page


def test_cards_are_records_with_the_generators_truth_and_the_classifiers_answer(page, tmp_path):
    cards = page.evaluate("given.cards")
    root = practice.write(tmp_path / "deck", guess.N_RECORDS, guess.SEED)
    table, truth = ptbxl.read_table(root), practice.truth(root)
    x = ptbxl.read_signals(root, table)
    found = np.array([np.frombuffer(base64.b64decode(card["samples"]), "<i2").reshape(12, -1) for card in cards]) / 1000
    # Which record each card is: the only one with the same samples.
    which = [int(np.flatnonzero(np.abs(x - one).max(axis=(1, 2)) < 1e-3).item()) for one in found]
    assert table["patient_id"].iloc[which].is_unique and len(which) == 12
    for card, has in zip(cards, truth.iloc[which].to_numpy(), strict=True):
        assert [name for name in truth.columns if card["truth"] == name] == list(truth.columns[has])
    classifier = Classifier.pretrained("signals", "cpu")
    expected = classifier.predict_proba(x[which], 100)
    np.testing.assert_allclose([card["probabilities"] for card in cards], expected, rtol=0, atol=1e-6)
    for card, said in zip(cards, classifier.predict(x[which], 100), strict=True):
        assert card["network"] == "none" if not said.any() else said[truth.columns.get_loc(card["network"])] == 1
    shown = page.evaluate("Array.from(leadsOf(given.cards[3])[4])")
    np.testing.assert_array_equal(np.float64(shown), found[3, 4])


def test_the_keyboard_plays_and_the_score_is_counted(page):
    """Always "CD", with keys alone, through the whole deck; then it is shuffled and the score begins anew."""
    cards = page.evaluate("given.cards")
    page.locator("#choices button[value=CD]").focus()
    you = network = 0
    for played, card in enumerate(cards, start=1):
        assert page.locator("#where").inner_text() == f"Card {played} of 12"
        page.keyboard.press("Enter")
        you, network = you + (card["truth"] == "CD"), network + (card["network"] == card["truth"])
        said = page.locator("#answer").inner_text()
        assert said.startswith("Right: " if card["truth"] == "CD" else "No: ") and card["why"] in said
        assert f"You {you} : {network} the network, after {played} card" in page.locator("#score").inner_text()
        rows = page.eval_on_selector_all("#said tbody tr", "rows => rows.map((row) => row.children[2].textContent)")
        assert rows == [f"{probability:.2f}" for probability in card["probabilities"]]
        # A second answer to the same card is none.
        page.evaluate("guess('MI')")
        assert page.evaluate("[state.you, state.network]") == [you, network]
        assert page.evaluate("document.activeElement.id") == "next"
        page.keyboard.press("Enter")
        # The first choice has the focus, and "CD" is the third after it.
        for _ in range(3):
            page.keyboard.press("Tab")
    assert page.locator("#score").inner_text() == "You 0 : 0 the network, after 0 cards."
    assert sorted(page.evaluate("state.order")) == list(range(12))


def test_the_paper_gives_nothing_away(page):
    """Before the guess, words for the eye and for screen readers are the same on every card."""
    told = page.evaluate(
        """() => given.cards.map((_, k) => {
            Object.assign(state, { order: [k], at: 0, you: 0, network: 0 });
            showCard();
            tellScore();
            const heard = byId("paper").getAttribute("aria-label");
            return [document.body.innerText, heard, byId("choices").innerHTML].join();
        })"""
    )
    assert len(set(told)) == 1 and "synthetic 12-lead ECG" in told[0]
    page.evaluate("state.order = given.cards.map((_, k) => k)")


# The last one: it thins the page out.
def test_it_can_be_read_and_fits_a_phone(page):
    assert violations(page) == []
    page.locator("#choices button").first.click()
    can_be_read_and_fits_a_phone(page)
