"""Builds the package with the files that it needs outside the repository."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

RESOURCES = Path(__file__).parent / "resources"
CITATION = Path(__file__).parent / "CITATION.cff"
SHIPPED = ("elements", "manifest.yaml", "mp20", "pretrained")


class BuildWithResources(build_py):
    """Copies them into the package; an editable installation finds them in the repository."""

    def run(self) -> None:
        """Build, and copy."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "crystalformer_rl/resources"
        shutil.rmtree(target, ignore_errors=True)
        for name in SHIPPED:
            source = RESOURCES / name
            if source.is_dir():
                shutil.copytree(source, target / name)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target / name)
        shutil.copy(CITATION, target.parent / CITATION.name)


setup(cmdclass={"build_py": BuildWithResources})
