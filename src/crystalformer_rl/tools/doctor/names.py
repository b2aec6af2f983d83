"""Names of users and groups, which a container or a directory service may not have."""

import grp
import os
import pwd


def user(number: int | None = None) -> str:
    """The name of a user, by default the one who runs this; the number if it has no name."""
    number = os.geteuid() if number is None else number
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def group(number: int) -> str:
    """The name of a group; the number if it has no name."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
