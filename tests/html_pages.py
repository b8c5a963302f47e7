"""What tests ask of a page of HTML."""

from collections import Counter
from html.parser import HTMLParser


class Page(HTMLParser):
    """What a page holds, and whether its tags are nested as they should be."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.words, self._open = [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, *names: str) -> list[dict]:
        return [attributes for tag, attributes in self.tags if tag in names]

    def check_that_it_asks_no_other_place(self):
        for attributes in (attributes for _, attributes in self.tags):
            for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
                assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,")), attributes
            assert not any(name.startswith("on") for name in attributes)
        assert not self.all("script", "link", "iframe", "object")
        assert "url(http" not in "".join(self.words) and "@import" not in "".join(self.words)

    def check_that_it_can_be_read_without_eyes(self):
        assert self.all("html") == [{"lang": "en"}]
        assert len(self.all("h1")) == 1 and len(self.all("title")) == 1
        assert len(self.all("h2")) == len(self.all("section")) > 0
        assert all(each.get("scope") in ("row", "col") for each in self.all("th"))
        assert len(self.all("caption")) == len(self.all("table"))
        assert all(each["alt"] for each in self.all("img"))
        assert all(each["role"] == "img" and each["aria-label"] for each in self.all("svg"))
        ids = Counter(attributes["id"] for _, attributes in self.tags if "id" in attributes)
        assert ids.most_common(1)[0][1] == 1
        for each in self.all("a", "use"):
            assert (each.get("href") or each.get("xlink:href")).removeprefix("#") in ids
