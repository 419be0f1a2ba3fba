from pathlib import Path

import pytest

from sim.live.config import ConfigError, load

from .conftest import EXAMPLE


def test_example_is_whole():
    config = load(EXAMPLE)
    assert config.card.functions == len(config.tenants) == 2
    assert config.tenants[0].vni == 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[card", "Expected"),
        ("[cards]", "no such table: cards"),
        ("[card]\ncolour = 1", "colour"),
        ("[card]\nfunctions = 9", "functions"),
        ("[card]\npairs = 9", "pairs must be 1 to 4"),
        ("[card]\nfunctions = 1", "has 1 functions"),
        ("[[function]]\naddress = 'x'", "vni"),
        (
            "[[function]]\naddress='02:00:00:00:00:01'\nvni=1\naddresses=[]\n" + "[[port]]\n" * 3,
            "has 1 ports",
        ),
    ],
)
def test_file_that_cannot_be_is_refused(tmp_path: Path, text, message):
    path = tmp_path / "card.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.toml")
