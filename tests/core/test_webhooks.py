from __future__ import annotations

import pytest

from backyard.core.webhooks import MOST_ATTEMPTS, checked_url, is_public, key_of, new_secret, signed_headers, wait_after


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1",
        "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)  # fmt: skip
def test_addresses_within_networks_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1/x", "no public address"),
        ("http://0x7f.1/x", "no public address"),
        ("http://2130706433/x", "no public address"),
        ("http://127。0。0。1/", "no public address"),
        ("https://[::ffff:10.0.0.1]/", "no public address"),
        ("https://user:word@host/", "user or a password"),
        ("ftp://host/", "begins with ftp"),
        ("file:///etc/passwd", "begins with file"),
        ("nonsense", "no URL"),
        ("http://host:99999/", "no URL"),
        ("https://host/" + "x" * 2_048, "2048 are the most"),
    ],
)
def test_urls_that_may_not_be_told_say_why(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked_url(url, private=False)


def test_urls_that_may_be_told() -> None:
    assert checked_url("https://Hooks.example.com/a?b=c", private=False) == "https://hooks.example.com/a?b=c"
    assert checked_url("http://127.0.0.1:8/", private=True) == "http://127.0.0.1:8/"


def test_signatures_are_those_of_the_specification() -> None:
    # The example that the specification's own libraries are tested with.
    headers = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_secrets_are_checked_and_made() -> None:
    assert len(key_of(new_secret())) == 32
    assert new_secret() != new_secret()
    for wrong in ("", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "*" * 44):
        with pytest.raises(ValueError, match="This makes one"):
            key_of(wrong)


def test_waits_grow_and_end_after_a_day() -> None:
    assert [wait_after(number, 1.0) for number in (1, 2, 3, 10, 11, 30)] == [5, 10, 20, 2560, 3600, 3600]
    assert wait_after(1, 0.0) == 4
    waits = [wait_after(number, 0.5) for number in range(1, MOST_ATTEMPTS)]
    assert 23 * 3600 < sum(wait for wait in waits if wait is not None) < 25 * 3600
    assert wait_after(MOST_ATTEMPTS, 0.5) is None
