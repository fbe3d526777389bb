"""How near an address is, and how near a registry may lead."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from pushd.registry.addresses import Nearness, Rule, literal, nearness

ADDRESSES = {
    Nearness.PUBLIC: [
        "1.1.1.1",
        "52.216.1.2",
        "2606:4700::1111",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
        "2002:101:101::",
    ],
    Nearness.PRIVATE: [
        "10.0.0.5",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "240.0.0.1",
        "fd00:ec2::253",
        "192.0.0.1",
        "fec0::1",
        "2001:db8::1",
        "64:ff9b:1::a00:5",
        "::ffff:10.0.0.5",
        "64:ff9b::a00:5",
        "2002:a00:5::1",
        "2001:0:1:2:0:0:f5ff:fffa",
        "::10.0.0.5",
    ],
    Nearness.LOOPBACK: [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "0.1.2.3",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:0.0.0.0",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "::127.0.0.1",
    ],
    Nearness.LINK_LOCAL: [
        "169.254.169.254",
        "fe80::1",
        "fe80::1%lo",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "::ffff:168.63.129.16",
    ],
}
CASES = [(address, kind) for kind, addresses in ADDRESSES.items() for address in addresses]


@pytest.mark.parametrize(("address", "kind"), CASES)
def test_an_address_is_as_near_as_what_it_stands_for(address: str, kind: Nearness) -> None:
    assert nearness(address) is kind


@pytest.mark.parametrize("own", [Nearness.PUBLIC, Nearness.PRIVATE, Nearness.LOOPBACK])
@pytest.mark.parametrize(("address", "kind"), CASES)
def test_a_registry_leads_no_nearer_than_it_is_itself_and_to_nothing_link_local(
    address: str, kind: Nearness, own: Nearness
) -> None:
    assert Rule(own).permits(address) is (kind <= own)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "169.254.1.1", "fd12::1"])
def test_networks_that_are_allowed_are(address: str) -> None:
    allowed = tuple(ip_network(text) for text in ("10.1.0.0/16", "169.254.1.1/32", "fd12::/16"))
    assert Rule(Nearness.PUBLIC, allowed).permits(address)
    assert not Rule(Nearness.PUBLIC, allowed).permits("10.2.0.1")
    assert not Rule(Nearness.PUBLIC, allowed).permits("169.254.169.254")


def test_a_network_of_ipv6_allows_the_addresses_written_in_it() -> None:
    assert Rule(Nearness.PUBLIC, (ip_network("64:ff9b::/96"),)).permits("64:ff9b::a00:5")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.5", "10.0.0.5"),
        ("::1", "::1"),
        ("2852039166", "169.254.169.254"),
        ("0xa9.0xfe.0xa9.0xfe", "169.254.169.254"),
        ("0251.0376.0251.0376", "169.254.169.254"),
        ("127.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("registry.example", None),
        ("1.1.1.1.example", None),
        ("deadbeef", None),
        ("", None),
        ("é.example", None),
    ],
)
def test_an_address_is_one_in_whatever_way_it_is_written(host: str, address: str | None) -> None:
    assert literal(host) == address
