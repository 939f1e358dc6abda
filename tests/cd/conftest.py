"""What many tests of the server ask for."""

from __future__ import annotations

import pytest

from tests.cd.serving import Client, bundle, promote, register, serving


@pytest.fixture
def client(store):
    """Asks a server with the plain model as its champion."""
    promote(store, register(store, bundle()))
    with serving(store) as app:
        yield Client(app)
