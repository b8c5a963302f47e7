"""What a page complains of while it is open."""

from playwright.sync_api import ConsoleMessage, Page


def note_complaints(page: Page, complaints: list[str]) -> None:
    """Append each error on the page's console, and each one that nobody caught, with where it comes from."""

    def note(told: ConsoleMessage) -> None:
        if told.type == "error":
            complaints.append(f"{told.text} ({told.location['url']})")

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
