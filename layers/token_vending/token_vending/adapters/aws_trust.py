"""Whose certificates the hand-out takes for AWS's: always verified, against few authorities at first.

Reading the 126 authorities that botocore ships takes as long as the whole GetSecretValue. AWS signs with its
own (https://www.amazontrust.com/repository/), so the build writes those alone to a file beside this one,
taken from botocore's. A certificate they cannot vouch for (a partition or an endpoint with other authorities) is
tried again with all that botocore ships: what is trusted is what the SDK would trust, it only takes longer
to get there. A network that opens TLS on the way has an authority that neither list holds: it needs AWS_CA_BUNDLE,
as with the SDK.
"""

import os
import ssl
from collections.abc import Mapping

from token_vending.errors import ConfigurationError

AWS_ROOTS = os.path.join(os.path.dirname(__file__), "aws-roots.pem")  # noqa: PTH118, PTH120 - read at every cold start
"""Absent where the sources run without having been built; then all authorities are loaded at once."""
_BUNDLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")


class AwsTrust:
    """`context` is what connections are made with.

    AWS_CA_BUNDLE, or else REQUESTS_CA_BUNDLE, is all that is trusted where it is set; the SDK reads both too.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        # No flags beyond the SDK's: those of `ssl.create_default_context` (VERIFY_X509_STRICT,
        # VERIFY_X509_PARTIAL_CHAIN) would refuse an operator's older authority that the SDK takes, and take an
        # intermediate for a root.
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._may_widen = False
        chosen = next((name for name in _BUNDLES if environment.get(name)), None)
        if chosen is not None:
            self._load(environment[chosen], f"{chosen} names no readable file of certificates.")
        elif os.path.exists(AWS_ROOTS):  # noqa: PTH110
            self._may_widen = True
            self._load(
                AWS_ROOTS, "The layer's aws-roots.pem holds no certificates: build and deploy it again."
            )
        else:
            self._load(
                _every_authority(), "botocore's cacert.pem is missing: build and deploy the layer again."
            )

    def _load(self, file: str, otherwise: str) -> None:
        try:
            self.context.load_verify_locations(file)
        except OSError as error:
            raise ConfigurationError(otherwise) from error

    def widen(self) -> bool:
        """After a certificate was refused: trusts all that the SDK would. False if that was so already."""
        if not self._may_widen:
            return False
        self.context.load_verify_locations(_every_authority())
        self._may_widen = False
        return True


def _every_authority() -> str:
    from botocore.httpsession import get_cert_path  # noqa: PLC0415 - takes longer than the whole hand-out's start

    return str(get_cert_path(True))  # noqa: FBT003 - botocore's signature
