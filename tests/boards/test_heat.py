"""What is said of a router that does not get on."""

from boards.heat import clear_heat, hottest


def test_the_last_round_counts(tmp_path):
    for number, (tiles, nets) in enumerate(
        (
            ("0,9\n0,0\n", "card.old,9\n"),
            ("0,0,0\n0,3,1\n0,2,0\n", "card.bus[3],4\ncard.bus_LUT4_Z_D[1],1\ncard.other,2\n"),
        ),
        # Tenth comes after ninth, whatever their names say.
        9,
    ):
        (tmp_path / f"one_congestion_by_coordinate_{number}.csv").write_text(tiles)
        (tmp_path / f"one_congestion_by_net_{number}.csv").write_text(nets)
    assert hottest(tmp_path, "one") == "most in rows 1, 2 and columns 1, 2, by card.bus, card.other"
    assert hottest(tmp_path, "one", 1) == "most in rows 1 and columns 1, by card.bus"
    # Another run's are not taken for its own.
    assert hottest(tmp_path, "on") == ""
    clear_heat(tmp_path, "one")
    assert hottest(tmp_path, "one") == "" and not list(tmp_path.iterdir())


def test_nothing_is_said_of_what_is_routed(tmp_path):
    (tmp_path / "one_congestion_by_coordinate_1.csv").write_text("0,0\n0,0\n")
    assert hottest(tmp_path, "one") == ""
