"""The authorities in the built layer: exactly those that AWS's certificates are from."""

import hashlib
import ssl

import pytest

from tests.kit.runtime.artefacts import VEND, Artefact, build_of_the_sources

# SHA-256 of the certificates. https://www.amazontrust.com/repository/ has the first five, the last is Starfield's older
# root (https://certs.secureserver.net/repository/), which has cross-signed the fifth.
EXPECTED = {
    "Amazon Root CA 1": "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
    "Amazon Root CA 2": "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
    "Amazon Root CA 3": "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
    "Amazon Root CA 4": "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
    "Starfield Services G2": "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
    "Starfield Class 2": "1465fa205397b876faa6f0a9958e5590e40fcc7faa4fb7c2c8677521fb5fb658",
}


@pytest.mark.skipif(build_of_the_sources() is None, reason="these sources are not built: make build")
def test_the_layer_ships_the_authorities_of_awss_certificates_and_no_other() -> None:
    (layer,) = Artefact.built(VEND).import_paths
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(layer / "token_vending" / "adapters" / "aws-roots.pem")
    shipped = {hashlib.sha256(root).hexdigest() for root in context.get_ca_certs(binary_form=True)}
    assert shipped == set(EXPECTED.values())
