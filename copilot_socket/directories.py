"""Makes directories with a mode that does not depend on the umask; existing ones are left as they are."""

import os
from pathlib import Path


def make_directories(directory: Path, mode: int) -> None:
    """Create *directory* and its missing parents, each with *mode*. Raises ``OSError``."""
    for each in [*reversed(directory.parents), directory]:
        try:
            each.mkdir()
        except FileExistsError:
            continue
        except OSError:
            if os.path.isdir(each):  # noqa: PTH112 - Path.is_dir raises where it may not look; for a read-only "/"
                continue
            raise
        each.chmod(mode)


def state_mode(of_root: bool) -> int:
    """The mode of the state directory. Others may search that of root, as the embedded database's user must."""
    return 0o711 if of_root else 0o700
