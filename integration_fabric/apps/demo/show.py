"""demo."""


def run_demo(*, quotes: int, simulated: bool, keep: bool) -> int:
    """Not yet."""
    return 1
