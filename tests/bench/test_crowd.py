import pytest

from bench.aws import served
from bench.crowd import LIBRARIES, THREADS, one_round, serve

CLIENT, POWERTOOLS, CACHING = LIBRARIES
pytestmark = [pytest.mark.slow]


def test_of_64_threads_only_the_clients_ask_once_cold_and_once_expired() -> None:
    with served(serve) as urls:
        asked = {library: [rush.requests for rush in pair] for library, pair in one_round(urls).items()}

    assert asked[CLIENT] == [1, 1]
    # How many of them find nothing in memory depends on how busy the machine is.
    assert all(1 < requests <= THREADS for requests in asked[POWERTOOLS])
    assert all(requests >= 2 for requests in asked[CACHING]), "DescribeSecret and GetSecretValue"
