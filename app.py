"""The door: parse flags, open the workspace, serve the studio."""

from __future__ import annotations

import argparse
import os
import sys

from studio.errors import StudioError
from studio.settings import DEFAULT_PORT, open_workspace


def main() -> int:
    """Serve until interrupted. Exit code 2 when the workspace cannot be opened."""
    parser = argparse.ArgumentParser(description="SFT Studio: label, train and compare in one browser page.")
    parser.add_argument("--workspace", help="folder that holds everything (default: ./workspace)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port to listen on (default: %(default)s)")
    flags = parser.parse_args()
    try:
        workspace = open_workspace(flags.workspace)
        # Set before gradio is imported: nothing leaves this machine unless asked, and uploads stay in the workspace.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["GRADIO_TEMP_DIR"] = str(workspace.uploads)
        from studio.web.server import serve

        serve(workspace, flags.host, flags.port)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
