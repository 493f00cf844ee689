"""A block in one thread."""

from threadpoolctl import threadpool_info, threadpool_limits

from pellucid.core.threads import one_thread


def counts():
    """Of scikit-learn's own libraries: others may come into the process later, and are not its."""
    every = threadpool_info()
    return {library["filepath"]: library["num_threads"] for library in every if "scikit_learn" in library["filepath"]}


def test_scikit_learn_has_one_thread_for_a_block_and_what_it_had_after_it():
    with one_thread():
        assert counts()
    with threadpool_limits(2):
        before = counts()
        for _ in range(2):
            with one_thread():
                assert set(counts().values()) == {1}
            assert counts() == before
