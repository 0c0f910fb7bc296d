import pytest

from bench.imports import PINNED, pinned, vend_imports


@pytest.fixture(scope="module")
def imported() -> dict[str, int]:
    return vend_imports()


def test_the_hand_out_imports_nothing_that_was_not_agreed_on(imported: dict[str, int]) -> None:
    new = {name: cost for name, cost in imported.items() if name not in pinned()}
    costs = ", ".join(f"{name} {cost / 1000:.1f} ms" for name, cost in new.items())
    assert not new, (
        f"A cold start now also imports {costs}, {sum(new.values()) / 1000:.1f} ms in all. Import it where it is "
        f"used, or agree to it: python -m bench.imports writes {PINNED.name}."
    )


def test_the_list_of_agreed_imports_has_nothing_too_many(imported: dict[str, int]) -> None:
    gone = pinned() - imported.keys()
    assert not gone, f"No longer imported: {', '.join(sorted(gone))}. python -m bench.imports"


def test_the_hand_out_was_never_agreed_to_load_the_minting_side_or_the_whole_sdk() -> None:
    sdk = {f"botocore.{module}" for module in ("client", "credentials", "session")}
    minting = {f"token_vending.{module}" for module in ("credentials", "issuers", "refreshing")}
    adapters = {f"token_vending.adapters.{module}" for module in ("issuer", "secrets_manager")}
    assert "token_vending.handing_out" in pinned()
    assert not pinned() & {*sdk, *minting, *adapters}
