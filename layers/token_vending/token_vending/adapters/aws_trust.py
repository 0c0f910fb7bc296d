"""Whose certificates the hand-out takes for AWS's: always verified, against few authorities at first.

Reading the 126 authorities that botocore ships takes as long as the whole GetSecretValue. AWS signs with its
own (https://www.amazontrust.com/repository/), so the build writes those alone to a file beside this one,
taken from botocore's. A certificate they cannot vouch for (a partition with other authorities, a proxy) is
tried again with all that botocore ships: trusted is never more than the SDK would trust, it only
takes longer to get there.
"""

import os
from collections.abc import Mapping

from botocore.httpsession import get_cert_path
from urllib3.util.ssl_ import create_urllib3_context

from token_vending.errors import ConfigurationError

AWS_ROOTS = os.path.join(os.path.dirname(__file__), "aws-roots.pem")  # noqa: PTH118, PTH120 - read at every cold start
"""Absent where the sources run without having been built; then all authorities are loaded at once."""


class AwsTrust:
    """`context` is what connections are made with. AWS_CA_BUNDLE, where set, is all that is trusted."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.context = create_urllib3_context()
        chosen = environment.get("AWS_CA_BUNDLE")
        few = not chosen and os.path.exists(AWS_ROOTS)  # noqa: PTH110
        self._widest = None if chosen or not few else get_cert_path(True)  # noqa: FBT003 - botocore's signature
        try:
            self.context.load_verify_locations(chosen or (AWS_ROOTS if few else get_cert_path(True)))  # noqa: FBT003
        except OSError as error:
            raise ConfigurationError("AWS_CA_BUNDLE names no readable file of certificates.") from error

    def widen(self) -> bool:
        """After a certificate was refused: trusts all that the SDK would. False if that was so already."""
        if self._widest is None:
            return False
        self.context.load_verify_locations(self._widest)
        self._widest = None
        return True
