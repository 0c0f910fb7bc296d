import time
from typing import override

import pytest

from token_client import CallerNotAllowed, TokenClient
from token_client._bearer_flow import Report
from token_client._supply import Supply


class Denied(TokenClient):
    @override
    def reject(self, version: str) -> None:
        raise CallerNotAllowed("no longer")


def test_a_report_that_fails_is_an_error_unless_the_answer_stands(caplog: pytest.LogCaptureFixture) -> None:
    supply = Supply(Denied("function"), 0, time.time)
    with pytest.raises(CallerNotAllowed):
        supply.serve(Report("first"))
    assert caplog.records == []

    assert supply.serve(Report("second", answer_stands=True)) is None
    assert "version second" in caplog.text
