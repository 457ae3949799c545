"""Plugin of pytest: nbval compares what a notebook prints, not the forms that its figures are kept in.

Like the PNG, which nbval never compares, they differ from one processor to another in the last digits.
"""

FORMS = ("image/svg+xml", "application/pdf", "text/csv")


def pytest_collectstart(collector):
    """Add the forms to what is left out, where nbval collects a notebook."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += FORMS
