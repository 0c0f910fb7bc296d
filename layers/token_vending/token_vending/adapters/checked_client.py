"""The SDK's client of Secrets Manager, believed only where the answer is one of Secrets Manager's.

The SDK takes any answer with status 200 for a success: a page of HTML is one without fields, and another JSON than an
object is an error of its own code. A token that such an answer calls stored would be lost.
"""

from collections.abc import Callable
from typing import Any

from token_vending.adapters.aws_errors import answered_without, no_answer


class CheckedClient:
    """Has the client's methods. They raise what the client's raise, and StoreUnavailable for what is no answer."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - botocore makes its clients at run time
        self._client = client

    def __getattr__(self, method: str) -> Callable[..., dict[str, Any]]:
        operation = self._client.meta.method_to_api_mapping[method]

        def call(**arguments: object) -> dict[str, Any]:
            try:
                answer: dict[str, Any] = getattr(self._client, method)(**arguments)
            except (AttributeError, TypeError, ValueError) as error:
                raise no_answer(operation, type(error).__name__) from error
            if "ARN" not in answer:
                # All four operations that are used promise it.
                raise answered_without(operation, "ARN")
            return answer

        return call
