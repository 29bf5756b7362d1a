"""The whole service with quick engines, as a process of its own: ``python -m tests.support.quick_service``."""

from cds.bootstrap import load_settings
from cds.entrypoints.web import run_server
from tests.support.engines import build

if __name__ == "__main__":
    run_server(load_settings(), build=build)
