"""Times that were measured: added by the benchmark, read by plans."""

from pathlib import Path

from portraitist.training.planning.times import PassTime, add_times, find_times, read_times


def test_a_case_is_replaced_and_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "times.json"
    file.write_text("[]")
    slow, fast = (PassTime("Card", "sdxl", "lora", 1024, False, seconds) for seconds in (0.4, 0.2))
    other = PassTime("Card", "sd15", "lora", 512, False, 0.1)
    add_times([slow, other], file)
    add_times([fast], file)
    assert file.read_text().count("seconds") == 2
    assert "0.4" not in file.read_text()


def test_the_shipped_file_is_read() -> None:
    assert find_times("sd15", "no-such-method", 512, False) == []
    assert all(each.seconds > 0 for each in read_times())
