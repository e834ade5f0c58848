"""What charts render, as objects."""

import pytest
import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@pytest.fixture(scope="session")
def loaded():
    """Returns the objects of a text with manifests."""

    def load(text):
        return [each for each in yaml.load_all(text, LOADER) if each]

    return load


@pytest.fixture
def objects(text, loaded):
    """Returns what a room's fixture `text` renders with these settings, as objects."""

    def load(*words, **more):
        return loaded(text(*words, **more))

    return load
