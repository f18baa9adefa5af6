"""A page to search a folder of photos with, in the browser: drop a photo, see where it was taken.

The folder is described first, which the page shows; it can be searched meanwhile. All that is kept
lies under `work_path`: nothing is written to the photos' folder, and photos that are dropped on the
page are not kept.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import importlib.util
import logging
import os
import secrets
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from model_utils.bounds import number
from model_utils.config import divided, load_config
from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError, run_command
from src.photo_search.open_folder import OpenFolder
from src.photo_search.settings import SearchSettings
from src.serve.decoding import Decoders
from src.serve.settings import DEFAULT_HOST, Reach, UploadSettings, is_loopback

LOG = logging.getLogger(__name__)
SETTINGS = PROJECT_ROOT / "scripts" / "search.yaml"
DEFAULT_PORT = 8000
#: A token in here, other than one on the command line, is not shown to others of this machine.
TOKEN_VARIABLE = "DELF_TOKEN"
_OWN = ("host", "port", "token", "keep_uploads")


def serve(photos: OpenFolder, reach: Reach, port: int, uploads: UploadSettings, kept: str) -> None:
    """Answer until Ctrl-C.

    Args:
        photos: the folder.
        reach: the address, and who may call.
        port: 0 for any that is free.
        uploads: limits of what is taken.
        kept: folder to keep what is sent in; "" keeps nothing.

    Raises:
        UserError: the address is in use or not this machine's.
    """
    from src.serve.app import Counter, server_of
    from src.serve.desk import Desk

    listening = _listen(reach.host, port)
    decoders = Decoders(uploads)
    counter = Counter(
        Desk(photos, decoders), uploads, Path(os.path.abspath(kept)) if kept else None
    )
    server = server_of(counter, reach)
    counter.update()
    print(f"Search your photos at {_address(reach, listening)}  (Ctrl-C stops)", flush=True)
    try:
        server.run([listening])
    except KeyboardInterrupt:
        pass
    finally:
        counter.close()
        decoders.close()
        listening.close()
    print("stopped; what was described is kept", flush=True)
    os._exit(0)  # a photo that is being described does not keep anybody waiting


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UserError: the address is in use or not this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family)
    except OSError as error:
        raise UserError(f"--host={host} is no address of this machine ({error})") from None
    try:
        if os.name == "posix":  # elsewhere it lets two listen at one port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(256)
    except OSError as error:
        listening.close()
        raise UserError(
            f"cannot listen at {host}, port {port} ({error.strerror}); give another --port, or "
            "--port=0 for any that is free"
        ) from None
    return listening


def _address(reach: Reach, listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname() if reach.knows(socket.gethostname()) else _outward()
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={quote(reach.token)}" if reach.token else "")


def _outward() -> str:
    """Return this machine's address as others see it; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))
            return asking.getsockname()[0]
        except OSError:
            return DEFAULT_HOST


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="All settings of delf_config.yaml may follow as --name=value.",
        allow_abbrev=False,
    )
    parser.add_argument("photos", help="folder of photos")
    parser.add_argument(
        "--host",
        default=DEFAULT_HOST,
        help="address to listen at (%(default)s: this machine only); others need a token",
    )
    port = number(int, "port", min=0, max=65535)
    parser.add_argument("--port", type=port, default=DEFAULT_PORT, help="(%(default)s); 0: any")
    parser.add_argument(
        "--token",
        default=os.environ.get(TOKEN_VARIABLE, ""),
        help=f"what a caller has to know; by default that of {TOKEN_VARIABLE}, else one is made "
        "where others can call",
    )
    parser.add_argument(
        "--keep_uploads",
        default="",
        metavar="FOLDER",
        help="keep photos that are sent; default: no",
    )
    taken, others = divided(sys.argv[1:] if arguments is None else arguments, _OWN)
    own = parser.parse_args(taken)
    config = load_config(others, description=parser.description, config_path=str(SETTINGS))
    for package in ("fastapi", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"the page needs {package}, which is not installed for this Python; "
                "pip install 'delf-mindspore[serve]'"
            )
    token = own.token or ("" if is_loopback(own.host) else secrets.token_urlsafe(24))
    reach = Reach(own.host, token)
    folder = Path(os.path.abspath(own.photos))
    photos = OpenFolder(SearchSettings.from_config(config), folder)
    serve(photos, reach, own.port, UploadSettings.from_config(config), own.keep_uploads)


if __name__ == "__main__":
    run_command(main)
