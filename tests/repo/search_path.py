"""PATH without a program, for tests of machines that lack it."""

import os
import pathlib


def path_without(program, tmp_path):
    """PATH, with a folder of links to everything else in the place of each that has the program."""
    folders = []
    for i, folder in enumerate(map(pathlib.Path, os.environ["PATH"].split(os.pathsep))):
        if (folder / program).exists():
            links = tmp_path / f"path{i}"
            links.mkdir()
            for entry in folder.iterdir():
                if entry.name != program:
                    (links / entry.name).symlink_to(entry)
            folder = links
        folders.append(str(folder))
    return os.pathsep.join(folders)
