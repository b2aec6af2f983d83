"""Settings of the reward by a Python file."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from crystalformer_rl.config.fields import FilePath
from crystalformer_rl.config.reward_base import Component, RewardSettings


class FileReward(RewardSettings):
    """The score of a Python file of your own."""

    module = "crystalformer_rl.rewards.file"
    title = "the scores of a Python file of the user"
    value = "what the function `score` returns; failures get the lowest score of their batch"
    needs = "`jobs.trust_code`"

    kind: Literal["file"] = "file"
    path: FilePath = Field(
        description="Python file with a function `score(structures)` that returns one number for "
        "each crystal, larger is better. The run executes it, so `jobs.trust_code` must be set.",
    )

    @property
    def components(self) -> Mapping[str, Component]:
        """The score."""
        return {"score": Component("mean score of decoded crystals")}

    @property
    def runs_code(self) -> bool:
        """True: it executes the file."""
        return True

    @property
    def files(self) -> list[str]:
        """The file itself."""
        return [self.path]

    def problem(self) -> str | None:
        """Why the file cannot be a reward, found without running it; None if it may be one."""
        if not Path(self.path).is_file():
            return "no such file"
        try:
            tree = ast.parse(Path(self.path).read_bytes(), self.path)
        except SyntaxError as error:
            return f"not valid Python in line {error.lineno}: {error.msg}"
        except ValueError as error:
            return f"not valid Python: {error}"
        if "score" not in _names(tree):
            return "defines no function score(structures)"
        return None


def _names(tree: ast.Module) -> set[str]:
    """The names that a module defines or imports anywhere."""
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.alias)}
    names |= {node.asname for node in ast.walk(tree) if isinstance(node, ast.alias) and node.asname}
    return names | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
