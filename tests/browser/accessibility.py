"""What axe-core, the usual checker of accessibility, finds on a page that is open in a browser."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

IMPACTS = ("serious", "critical")


def violations(page: Page, only: str | None = None, allowed: tuple[str, ...] = ()) -> list[str]:
    """List what is serious or critical: the rule, and the first elements that break it.

    `only` names the one rule that is looked at; `allowed` names rules that aren't.
    """
    options = {"resultTypes": ["violations"]}
    if only:
        options["runOnly"] = {"type": "rule", "values": [only]}
    found = Axe().run(page, options=options).response["violations"]
    return [_in_words(one) for one in found if one["impact"] in IMPACTS and one["id"] not in allowed]


def _in_words(violation: dict) -> str:
    places = [f"{node['target']} {node['html'][:120]}" for node in violation["nodes"]]
    return f"{violation['id']}, {len(places)} times: {'; '.join(places[:4])}"
