"""A served studio with three people in it, as tests/web has it, to be attacked."""

from tests.web.conftest import house, town  # noqa: F401  fixtures
