"""Users and groups with and without a name."""

import grp
import pwd

from crystalformer_rl.tools.doctor import names


def test_names() -> None:
    assert names.user(0) == pwd.getpwuid(0).pw_name
    assert names.group(0) == grp.getgrgid(0).gr_name


def test_numbers_stand_for_names_that_are_missing() -> None:
    users = {entry.pw_uid for entry in pwd.getpwall()}
    groups = {entry.gr_gid for entry in grp.getgrall()}
    free = next(number for number in range(50_000, 100_000) if number not in users | groups)
    assert names.user(free) == names.group(free) == str(free)
