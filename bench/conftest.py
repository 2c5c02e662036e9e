"""Options of `pytest bench`."""

import pytest


def pytest_addoption(parser):
    group = parser.getgroup("fastconv bench")
    group.addoption("--full", action="store_true", help="all layers and batch sizes instead of a selection")
    group.addoption("--threads", type=int, default=2, help="threads of the engine (default 2)")


def pytest_generate_tests(metafunc):
    from fastconv.bench.suite import OWN_PROCESSES
    from fastconv.bench.work import GROUPS, select

    if "work" in metafunc.fixturenames:
        groups = [group for group in GROUPS if group not in (*OWN_PROCESSES, "threads")]
        works = select(groups, quick=not metafunc.config.getoption("--full"))
        metafunc.parametrize("work", works, ids=lambda work: work.key.replace("/", "-"))


@pytest.fixture(scope="session")
def threads(pytestconfig):
    return pytestconfig.getoption("--threads")


@pytest.fixture(scope="session")
def limits(threads):
    """What the machine can do at most."""
    from fastconv.bench import suite

    return suite.limits(threads)


@pytest.fixture(scope="session")
def engine(threads):
    """fastconv itself, in this process."""
    import fastconv as fc
    from fastconv.bench.peers import ENGINE, worker

    fc.set_threads(threads)
    return worker.load(ENGINE)
